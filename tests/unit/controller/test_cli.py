"""The command line against a real server on loopback: exit codes, tables, JSON, errors that say what to do next."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from controller_support import FakeServices, make_platform, release, serving
from headrace_controller.api.schemas import JobView
from headrace_controller.cli.entrypoint import COMMANDS, front
from headrace_controller.client import Client as HeadraceClient
from headrace_controller.service.platform import Platform

FUNCTION = "def predict(model, age, plan):\n    return {'risk': age / 100}\n"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path / "home", FakeServices())


@pytest.fixture
def url(platform: Platform) -> Iterator[str]:
    with serving(platform) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "function.py").write_text(FUNCTION)
    rows = "\n".join(f"{20 + i},{('free', 'paid')[i % 2]},{i % 2}" for i in range(40))
    (folder / "train.csv").write_text(f"age,plan,churned\n{rows}\n")
    definition = "kind: Model\nname: churn\npayload: function.py\nrequirements: requirements.txt\ntraining-data: train.csv\ntarget: churned\n"
    (folder / "headrace.yaml").write_text(definition)
    (folder / "requirements.txt").write_text("numpy  # all it needs\n")
    return folder


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(
        front,
        list(arguments),
        env={"HEADRACE_URL": "", "HEADRACE_HOME": "/nowhere", **environment},
        catch_exceptions=False,
    )


def on(url: str, *arguments: str) -> Result:
    return run(*arguments, "--url", url)


def commands(group: click.Group = front, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def test_the_table_of_commands_says_what_the_commands_say_themselves() -> None:
    for path, command in commands():
        if len(path) == 1:
            assert (command.help or "").startswith(COMMANDS[path[0]][2].rstrip("."))


def test_every_command_has_a_sentence_of_help_and_every_read_has_json() -> None:
    reads = ("list", "show", "history", "revisions", "query", "status", "sample", "predict", "config")
    for path, command in commands():
        assert command.help, path
        options = {o for p in command.params for o in p.opts}
        if path[-1] in reads and not isinstance(command, click.Group):
            assert "--json" in options, path


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['headrace', '--help']\nfrom headrace_controller.cli import main\ntry:\n    main()\nexcept SystemExit: pass\n"
    code += "print([m for m in ('httpx', 'pydantic', 'numpy', 'flask', 'pyarrow', 'deltalake') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_apply_builds_a_model_shows_its_log_and_changes_nothing_the_second_time(url: str, project: Path) -> None:
    first = on(url, "apply", "-f", str(project))
    assert first.exit_code == 0, first.stderr
    assert "churn:1" in first.stdout
    assert "created" in first.stdout
    assert "churn:1 is released" in first.stderr
    second = on(url, "apply", "-f", str(project), "--json")
    assert json.loads(second.stdout) == [
        {"kind": "Model", "name": "churn:1", "result": "unchanged", "state": "released"}
    ]


def test_a_failed_build_is_a_failed_apply_with_the_reason_and_the_end_of_the_log(url: str, project: Path) -> None:
    (project / "function.py").write_text("def predict(model, age, plan):\n    raise RuntimeError('boom')\n")
    result = on(url, "apply", "-f", str(project), "--quiet")
    assert result.exit_code == 1
    assert "error: churn:1 failed" in result.stderr
    assert "boom" in result.stderr
    assert "headrace version log churn:1" in result.stderr


def test_nothing_is_applied_when_a_document_is_wrong(url: str, project: Path, platform: Platform) -> None:
    (project / "headrace.yaml").write_text(
        (project / "headrace.yaml").read_text() + "---\nkind: Sequence\nname: s\npipelin: []\n"
    )
    result = on(url, "apply", "-f", str(project))
    assert result.exit_code == 1
    assert "document 2, line 10: pipelin: unknown key" in result.stderr
    assert "did you mean 'pipeline'?" in result.stderr
    assert platform.catalog.models() == []


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("function.py", "payload: function.py is not in"),
        ("train.csv", "training-data: train.csv does not exist"),
        ("requirements.txt", "does not exist"),
    ],
)
def test_a_file_that_is_named_and_not_there_is_said_before_anything_is_sent(
    url: str, project: Path, platform: Platform, missing: str, says: str
) -> None:
    (project / missing).unlink()
    result = on(url, "apply", "-f", str(project))
    assert result.exit_code == 1
    assert says in result.stderr
    assert platform.catalog.models() == []


def test_the_nouns_show_tables_and_the_same_as_json(url: str, platform: Platform) -> None:
    for _ in range(2):
        release(platform.catalog, "churn")
    assert on(url, "alias", "set", "churn@prod", "churn:1").stdout == "churn@prod is churn:1\n"
    assert on(url, "alias", "set", "churn@prod", "1").stdout == "churn@prod is churn:1\n"
    definition = (
        "kind: Sequence\nname: s\npipeline: [[{model: churn@prod, weight: 90}, {model: 'churn:2', weight: 10}]]\n"
    )
    assert CliRunner().invoke(front, ["apply", "-f", "-", "--url", url], input=definition).exit_code == 0
    shown = on(url, "sequence", "show", "s")
    assert "churn:1" in shown.stdout
    assert "90" in shown.stdout
    for noun, name in (("model", "churn"), ("version", "churn:2"), ("sequence", "s")):
        listed = on(url, noun, "list")
        assert name in listed.stdout
        found = json.loads(on(url, noun, "list", "--json").stdout)
        assert name in {item.get("id") or item["name"] for item in found}
        assert json.loads(on(url, noun, "show", name, "--json").stdout)
    assert [a["version"] for a in json.loads(on(url, "alias", "history", "churn@prod", "--json").stdout)] == [1]
    assert on(url, "sequence", "delete", "s").exit_code == 0
    assert on(url, "alias", "delete", "churn@prod").exit_code == 0
    assert on(url, "model", "delete", "churn", "--yes").exit_code == 0
    assert on(url, "model", "list").stderr.startswith("no model yet")


def test_deleting_what_is_in_use_is_refused_and_says_what_to_do(url: str, platform: Platform) -> None:
    release(platform.catalog, "churn")
    on(url, "alias", "set", "churn@prod", "churn:1")
    result = on(url, "version", "delete", "churn:1")
    assert result.exit_code == 1
    assert "in use by alias churn@prod" in result.stderr
    assert "hint: first move or delete" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["version", "show", "none:1"], 1, "no version none:1"),
        (["alias", "set", "churn", "churn:1"], 1, "MODEL@ALIAS"),
        (["schedule", "add", "n", "churn", "--cron", "x"], 1, "cannot be parsed"),
        (["model", "shw"], 2, "No such command"),
        (["apply"], 2, "Missing option"),
        (["sequence", "rollback", "s", "--to", "0"], 2, "Invalid value"),
        (["version", "list", "--label", "team"], 2, "is not KEY=VALUE"),
    ],
)
def test_exit_codes_tell_failure_from_wrong_usage(url: str, arguments: list[str], code: int, says: str) -> None:
    result = on(url, *arguments)
    assert result.exit_code == code
    assert says in result.stderr


def test_without_a_platform_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    nobody = run("status", "--home", str(tmp_path))
    assert nobody.exit_code == 1
    assert "headrace up" in nobody.stderr
    refused = run("status", "--url", "http://127.0.0.1:9")
    assert refused.exit_code == 1
    assert "no platform answers at http://127.0.0.1:9" in refused.stderr


def test_the_platform_is_found_by_option_then_variable_then_home(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "up.lock").write_text('{"url": "http://home"}')
    home = str(tmp_path)
    assert json.loads(run("config", "--json", HEADRACE_HOME=home).stdout)["url"] == "http://home"
    assert (
        json.loads(run("config", "--json", HEADRACE_HOME=home, HEADRACE_URL="http://variable").stdout)["url"]
        == "http://variable"
    )
    assert (
        json.loads(run("config", "--json", "--url", "http://option", HEADRACE_URL="http://variable").stdout)["url"]
        == "http://option"
    )


def test_sample_prints_a_request_and_the_command_that_sends_it(url: str, platform: Platform) -> None:
    release(platform.catalog, "churn", inputs="age")
    done = on(url, "sample", "churn:1")
    assert f"curl -s {url}/v2/models/churn/versions/1/infer" in done.stderr
    assert json.loads(done.stdout)["inputs"][0]["name"] == "age", "standard output can be piped into predict"
    body = json.loads(on(url, "sample", "churn", "--json").stdout)
    assert body == {"inputs": [{"name": "age", "shape": [1], "datatype": "FP64", "data": [0.0]}]}


@pytest.mark.parametrize("template", ["sklearn", "python"])
def test_a_new_project_trains_and_applies_as_it_is(url: str, tmp_path: Path, template: str) -> None:
    folder = tmp_path / "My Project"
    assert run("new", "--template", template, str(folder)).exit_code == 0
    subprocess.run([sys.executable, str(folder / "train.py")], check=True, capture_output=True)
    result = on(url, "apply", "-f", str(folder))
    assert result.exit_code == 0, result.stderr
    assert "my-project:1" in result.stdout
    assert "released" in result.stdout


def test_a_template_overwrites_nothing_and_an_unknown_one_names_the_known(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("mine")
    taken = run("new", "--template", "sklearn", str(tmp_path))
    assert taken.exit_code == 1
    assert "there already" in taken.stderr
    assert (tmp_path / "train.py").read_text() == "mine"
    unknown = run("new", "--template", "fortran", str(tmp_path / "x"))
    assert "python, sklearn, skops, tensorflow, text, torch, xgboost" in unknown.stderr


def test_an_unknown_framework_is_refused_before_the_first_document_is_applied(
    url: str, project: Path, platform: Platform
) -> None:
    (project / "headrace.yaml").write_text(
        "kind: Sequence\nname: s\npipeline: [[{model: churn}]]\n---\nkind: Model\nname: a\npayload: function.py\nframework: sklern\n"
    )
    release(platform.catalog, "churn")
    told = on(url, "apply", "-f", str(project))
    place = f"{project}/headrace.yaml, document 2, line 8: framework: "
    assert f"error: {place}'sklern' is not known" == told.stderr.splitlines()[0]
    assert "hint: did you mean 'sklearn'?" == told.stderr.splitlines()[-1]
    assert "s" not in [sequence["name"] for sequence in json.loads(on(url, "sequence", "list", "--json").stdout)]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (
            "kind: Model\nname: a\npayload: function.py\ntraining-data: train.csv\ntarget: left\n",
            5,
            "target: train.csv",
        ),
        ("kind: Model\nname: a\npayload: none.py\n", 3, "payload: none.py is not in"),
        ("kind: Sequence\nname: s\npipeline:\n  - [{model: churn}]\n  - [{model: chrn}]\n", 5, "pipeline.1.0.model: "),
    ],
)
def test_what_is_found_while_applying_names_its_place(
    url: str, project: Path, platform: Platform, text: str, line: int, says: str
) -> None:
    release(platform.catalog, "churn")
    (project / "headrace.yaml").write_text(text)
    told = on(url, "apply", "-f", str(project)).stderr
    assert f"error: {project}/headrace.yaml, document 1, line {line}: {says}" in told


def test_the_help_of_a_noun_has_whole_sentences() -> None:
    nouns = [path for path, command in commands() if isinstance(command, click.Group)]
    listed = [run(*path, "--help").stdout.partition("\nCommands:\n")[2] for path in nouns]
    assert [] == [text for text in listed if "..." in text or not text]


@pytest.mark.parametrize(
    ("template", "first"), [("sklearn", "pip install scikit-learn && python "), ("python", "python ")]
)
def test_a_new_project_says_what_to_install_before_training(tmp_path: Path, template: str, first: str) -> None:
    folder = tmp_path / "churn"
    told = run("new", "--template", template, str(folder)).stderr
    assert f"next: {first}{folder}/train.py && headrace apply -f {folder}\n" == told


def test_an_analysis_ends_with_what_it_found(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    report = "churn:1/drift/1h"
    job = JobView(
        id="1", kind="drift", version="churn:1", engine="native", arguments={}, by="api", state="done", reason="",
        created="", at="", report=report, result={"verdict": "drift", "severity": "severe"},
    )  # fmt: skip
    document = {"sentence": "1 of 2 fields differs from the training data: `age`."}
    monkeypatch.setattr(HeadraceClient, "start_job", lambda *_, **__: job)
    monkeypatch.setattr(HeadraceClient, "job", lambda *_: job)
    monkeypatch.setattr(HeadraceClient, "job_log", lambda *_: "")
    monkeypatch.setattr(HeadraceClient, "report", lambda *_: document)
    assert [
        f"report    {report}",
        "verdict   drift",
        "severity  severe",
        "1 of 2 fields differs from the training data: age.",
        f"see: headrace report show {report}",
    ] == on(url, "analyze", "drift", "churn:1").stdout.splitlines()


def test_a_folder_below_a_file_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = run("new", "--template", "sklearn", f"{file}/churn")
    assert (1, f"error: {file}/churn cannot be used: Not a directory\n") == (result.exit_code, result.stderr)


def test_a_full_disk_is_an_error_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("headrace_controller.projects.scaffold.create", full)
    result = run("new", "--template", "sklearn", "churn")
    assert (1, "error: No space left on device\n") == (result.exit_code, result.stderr)

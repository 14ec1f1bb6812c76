"""Bodies that are files or forms: the function gets the very bytes, the answer is one object, and a part that does not fit is named."""

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_functions.errors import HeadraceError
from headrace_functions.gateway.calls import Call
from headrace_functions.gateway.uploads import from_upload, is_upload
from headrace_functions.protocol.codec import decode_request
from headrace_functions.signature import Field, Signature, dtype
from support.versions import number, version
from unit.gateway.test_gateway import House, in_house

IMAGE = Field("image", dtype("string"))
PNG = b"\x89PNG\r\n\x1a\n\x00\xff" + bytes(range(256))
ONE = Signature((IMAGE,), (number("size"),))
MIXED = Signature((IMAGE, number("age"), Field("box", dtype("int64"), (2,))), (number("size"),))


def call(body: bytes, content_type: bytes) -> Call:
    return Call("r", "v2", body, 0.0, 0, content_type)


def read(body: bytes, content_type: bytes, signature: Signature, *, batch: bool = True) -> dict[str, np.ndarray]:
    """What a function gets of an upload."""
    asked = from_upload(call(body, content_type), signature, batch=batch)
    tensors, _ = decode_request(asked.body, "application/json", None, signature, protocol="v1", batch=batch)
    return dict(tensors)


def form(**parts: object) -> tuple[bytes, bytes]:
    files = {k: (None, v) if isinstance(v, str) else (f"{k}.png", v) for k, v in parts.items()}
    request = httpx.Request("POST", "http://gateway", files=files)  # type: ignore[arg-type]
    return request.read(), request.headers["content-type"].encode()


CUT = form(image=PNG)


@given(st.binary(max_size=400))
def test_a_file_comes_as_it_was_alone_and_in_a_form(content: bytes) -> None:
    try:
        expected: object = content.decode()
    except UnicodeDecodeError:
        expected = content
    assert [expected] == read(content, b"image/png", ONE)["image"].tolist()
    told = read(*form(image=content, age="4.5", box="[1, 2]"), MIXED)
    assert [expected] == told["image"].tolist()
    assert ([4.5], [[1, 2]]) == (told["age"].tolist(), told["box"].tolist())


def test_a_model_of_one_row_gets_the_value_itself() -> None:
    assert PNG == read(PNG, b"image/png", ONE, batch=False)["image"].item()


@pytest.mark.parametrize(
    ("body", "content_type", "signature", "field", "said"),
    [
        (PNG, b"image/png", MIXED, "body", "this model has several"),
        (PNG, b"image/png", Signature((number("x"),), (number("y"),)), "x", "is no file"),
        (*form(image=PNG, age="4"), MIXED, "box", "lacks the input 'box'"),
        (*form(image=PNG, age="four", box="[1, 2]"), MIXED, "age", "is not JSON"),
        (*form(image=PNG, age=b"4", box="[1, 2]"), MIXED, "age", "is no file"),
        (*form(image=PNG, colour="red"), ONE, "colour", "is no input"),
        (*form(a="1", b="2", c="3"), ONE, "body", "too many parts"),
        (b"", b"multipart/form-data", ONE, "content-type", "the form has no boundary"),
        (CUT[0][:-6], CUT[1], ONE, "body", "incomplete"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-",  # a form's boundary is another one in each process
)
def test_what_does_not_fit_is_named(
    body: bytes, content_type: bytes, signature: Signature, field: str, said: str
) -> None:
    with pytest.raises(HeadraceError, match=said) as error:
        from_upload(call(body, content_type), signature, batch=True)
    assert field == error.value.field


def test_text_and_json_are_no_uploads() -> None:
    told = [
        is_upload(t)
        for t in (b"application/json", b"text/plain;charset=UTF-8", b"Image/JPEG", b"multipart/form-data; boundary=x")
    ]
    assert [False, False, True, True] == told


@in_house
async def test_an_image_is_answered_by_one_object_and_refused_by_a_problem(h: House) -> None:
    def size(image: np.ndarray) -> dict[str, np.ndarray]:
        return {"size": np.array([float(len(image[0]))])}

    await h.release(version("sized", 1, inputs=(IMAGE,), outputs=(number("size"),)), size)
    await h.release(version("adder", 1))

    one = await h.client.post("/v2/models/sized/infer", content=PNG, headers={"content-type": "image/png"})
    formed = await h.client.post("/v2/models/sized/infer", files={"image": ("a.png", PNG)})
    refused = await h.client.post("/v2/models/adder/infer", content=PNG, headers={"content-type": "image/png"})

    assert [{"size": float(len(PNG))}] * 2 == [one.json(), formed.json()]
    assert (422, "x") == (refused.status_code, refused.json()["field"])

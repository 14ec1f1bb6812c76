"""Where results of deferred requests may be sent."""

import asyncio

import pytest

from headrace_functions.errors import InvalidInput
from headrace_functions.gateway.callbacks import Callback, Callbacks, is_public_enough
from headrace_functions.gateway.upstream import Reply

NOT_TO_BE_CALLED = [
    "http://[::1",
    "http://[1.2.3.4]/",
    "http://host:99999/",
    "http://host:0/",
    "http://host:-1/",
    "http://host:abc/",
    "http://a..b/",
    f"http://{'a' * 64}.example/",
    "http://a b/",
    "http://a/b c",
    "http://a/\x00",
    "http://é.example/",
]


@pytest.mark.parametrize("url", NOT_TO_BE_CALLED)
def test_what_cannot_be_called_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Callback.of(url, "")
    assert "x-headrace-callback" == caught.value.field


@pytest.mark.parametrize("url", ["http://a.example", "https://a.example:8443/b?c=d%20e", "http://[2001:db8::1]:80/"])
def test_a_url_is_taken_as_it_is(url: str) -> None:
    assert url == Callback.of(url, "").url


@pytest.mark.parametrize("url", NOT_TO_BE_CALLED)
def test_such_a_url_that_waits_in_the_store_is_given_up_and_ends_nothing(url: str) -> None:
    outcome = asyncio.run(Callbacks(pauses=()).deliver(Callback(url), "id", "adder", Reply(200, [], b"{}")))
    assert (False, 1) == (outcome["delivered"], outcome["tries"])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "::1", "0.0.0.0", "169.254.169.254", "fe80::1%eth0", "224.0.0.1", "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "::ffff:100.100.100.200", "168.63.129.16",
    ],
)  # fmt: skip
def test_an_address_of_this_machine_or_of_a_clouds_metadata_is_none_to_call_however_it_is_written(
    address: str,
) -> None:
    assert not is_public_enough(address)


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.1.1", "203.0.113.9", "fd12::1", "2606:4700::1", "2002:a00:1::"]
)
def test_addresses_of_others_may_be_called_private_networks_included(address: str) -> None:
    assert is_public_enough(address)

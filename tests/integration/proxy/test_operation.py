"""``tailrace cache explain``, ``stats`` and ``clear`` on a running proxy, for those who may."""

from __future__ import annotations

import json

from pydantic import SecretStr
from tests.integration.commands import tailrace_cache
from tests.integration.proxy.raw import Asked, Between, Reply, between, plain, request

from tailrace.settings import HttpSettings, Settings

TOKEN = "operators-only-0123456789"
FRESH = "Cache-Control: max-age=60"


async def grouped(asked: Asked) -> None:
    """Two variants of everything, and a group for what lies below ``/cars``."""
    groups = ['Cache-Groups: "cars"'] if "/cars" in asked.line else []
    await asked.send(plain(b"hello", FRESH, "Vary: Accept-Language", *groups))


async def ask(proxy: Between, path: str, *fields: str) -> Reply:
    """As a client of the proxy's own address does."""
    host = f"Host: 127.0.0.1:{proxy.port}"
    return await proxy.ask(request(path, *fields).replace(b"Host: shop.example", host.encode()))


async def test_explain_tells_what_the_proxy_would_do() -> None:
    """Not stored, stored, varying; the origin is not asked for an explanation."""
    async with between(grouped) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/a?b=1"
        code, out, _ = await tailrace_cache("explain", url)
        assert (code, "nothing is stored for this target" in out) == (3, True)
        await ask(proxy, "/a?b=1", "Accept-Language: de")
        code, out, _ = await tailrace_cache("explain", url, "-H", "Accept-Language: de", "--format", "json")
        assert code == 0
        assert (json.loads(out)["outcome"], json.loads(out)["target"]) == ("hit", url)
        assert "it varies" in (await tailrace_cache("explain", url, "-H", "Accept-Language: en"))[1]
        assert len(proxy.origin.asked) == 1


async def test_stats_tell_what_requests_found() -> None:
    """Hits and misses of clients; what operators ask is not counted."""
    async with between(grouped) as proxy:
        base = f"http://127.0.0.1:{proxy.port}"
        assert "nothing has been looked up yet" in (await tailrace_cache("stats", base))[1]
        for _ in range(4):
            await ask(proxy, "/a")
        await tailrace_cache("explain", f"{base}/a")
        code, out, _ = await tailrace_cache("stats", base, "--format", "json")
        document = json.loads(out)
        assert (code, document["store"]["kind"], document["store"]["connected"]) == (0, "memory", True)
        assert document["policies"] == [
            {"policy": "as responses say", "lookups": 4, "hit_ratio": 0.75, "hit": 3, "miss": 1}
        ]
        assert "75.0% of 4" in (await tailrace_cache("stats", base))[1]


async def test_clear_ends_every_variant_of_an_address_and_nothing_else() -> None:
    """By a whole address or a path; the host may be another than that by which the proxy is reached."""
    async with between(grouped) as proxy:
        base = f"http://127.0.0.1:{proxy.port}"

        async def asked_anew(path: str, *fields: str) -> bool:
            before = len(proxy.origin.asked)
            await ask(proxy, path, *fields)
            return len(proxy.origin.asked) > before

        variants = [("/a", "Accept-Language: de"), ("/a", "Accept-Language: en"), ("/b", "Accept-Language: de")]
        assert [await asked_anew(*each) for each in variants] == [True, True, True]
        assert [await asked_anew(*each) for each in variants] == [False, False, False]
        assert await tailrace_cache("clear", "--url", f"{base}/a") == (0, f"ended: {base}/a\n", "")
        assert [await asked_anew(*each) for each in variants] == [True, True, False]
        assert (await tailrace_cache("clear", base, "--url", "/b"))[1] == f"ended: {base}/b\n"
        assert [await asked_anew(*each) for each in variants] == [False, False, True]
        await proxy.ask(request("/a"))
        await proxy.ask(request("/a"))
        before = len(proxy.origin.asked)
        assert (await tailrace_cache("clear", base, "--url", "http://Shop.Example/a"))[0] == 0
        await proxy.ask(request("/a"))
        assert len(proxy.origin.asked) == before + 1


async def test_clear_ends_a_group_or_everything() -> None:
    """A group of the origin that is named by ``Host``; and what a proxy cannot do is said."""
    async with between(grouped) as proxy:
        base = f"http://127.0.0.1:{proxy.port}"
        for path in ("/cars/1", "/bikes/1"):
            await proxy.ask(request(path))

        async def anew() -> list[str]:
            before = len(proxy.origin.asked)
            for path in ("/cars/1", "/bikes/1"):
                await proxy.ask(request(path))
            return [asked.line.split(" ")[1] for asked in proxy.origin.asked[before:]]

        assert (await tailrace_cache("clear", base, "--tag", "cars"))[1] == "ended: cars\n"
        assert await anew() == [], "another host's group of that name"
        assert (await tailrace_cache("clear", base, "--tag", "cars", "-H", "Host: shop.example"))[0] == 0
        assert await anew() == ["/cars/1"]
        assert (await tailrace_cache("clear", base, "--all"))[1].startswith("removed: ")
        assert await anew() == ["/cars/1", "/bikes/1"]
        code, _, error = await tailrace_cache("clear", base, "--prefix", "/cars")
        assert (code, "?url=" in error) == (1, True)


async def test_whoever_may_not_is_passed_on() -> None:
    """Without the token, from behind another proxy, or without the field that no page can send, the origin answers."""
    settings = Settings(database_url=None, valkey_url=None, http=HttpSettings(admin_token=SecretStr(TOKEN)))
    async with between(grouped, settings=settings) as proxy:
        base = f"http://127.0.0.1:{proxy.port}"
        await ask(proxy, "/a")
        for wrong in ("", "wrong"):
            arguments = ["--token", wrong] if wrong else []
            assert (await tailrace_cache("explain", f"{base}/a", *arguments))[0] == 1
            assert (await tailrace_cache("clear", base, "--all", *arguments))[0] == 1
        asked = len(proxy.origin.asked)
        await ask(proxy, "/a")
        assert len(proxy.origin.asked) == asked, "nothing was cleared"
        assert (await tailrace_cache("clear", base, "--url", "/a", "--token", TOKEN))[0] == 0
        assert (await tailrace_cache("stats", base, "--token", TOKEN))[0] == 0
        assert len(proxy.origin.asked) == asked
    async with between(grouped) as proxy:
        clear = request("/monitoring/cache/clear?all=yes", method="POST")
        for fields in ([], ["Tailrace-Operator: 1", "X-Forwarded-For: 203.0.113.9"]):
            assert (
                await proxy.ask(request("/monitoring/cache/clear?all=yes", *fields, method="POST"))
            ).body == b"hello"
        assert (await proxy.ask(clear.replace(b"Host:", b"Tailrace-Operator: 1\r\nHost:"))).body != b"hello"

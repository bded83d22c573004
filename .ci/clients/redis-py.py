"""Usage: redis-py.py PORT. Prints ok if all went well."""
import sys

import redis

r = redis.Redis(port=int(sys.argv[1]))
assert r.set("a", b"\x00\r\n\xff") is True
assert r.get("a") == b"\x00\r\n\xff"
assert r.get("none") is None
assert r.set("a", "x", nx=True) is None
assert r.set("timed", "x", ex=100) and 0 < r.ttl("timed") <= 100
assert r.incrby("n", 41) == 41
assert r.incrbyfloat("f", 0.5) == 0.5
assert r.append("a", "cd") == 6
assert r.getrange("a", 4, -1) == b"cd"
assert r.mset({"x": 1, "y": 2})
assert r.mget("x", "none", "y") == [b"1", None, b"2"]
assert r.getdel("a") == b"\x00\r\n\xffcd"

pipe = r.pipeline(transaction=False)
for _ in range(1000):
    pipe.incr("n")
assert pipe.execute()[999] == 1041

with r.pipeline() as tx:
    assert tx.incr("n").strlen("timed").execute() == [1042, 1]
    tx.watch("n")
    r.set("n", 5)
    tx.multi()
    tx.incr("n")
    try:
        tx.execute()
        raise AssertionError("a transaction on a changed key ran")
    except redis.WatchError:
        pass

assert sorted(r.scan_iter(count=2)) == [b"f", b"n", b"timed", b"x", b"y"]
try:
    r.incr("timed")
    raise AssertionError("INCR of a word")
except redis.ResponseError as e:
    assert "value is not an integer or out of range" in str(e)
assert r.info("server")["redis_version"].startswith("7.0")
assert r.config_get("databases")["databases"] == "16"
assert r.client_setname("py") and r.client_getname() in ("py", b"py")
assert r.type("n") == b"string" and r.dbsize() == 5 and r.delete("n", "f") == 2
print("ok")

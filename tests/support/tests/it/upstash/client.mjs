// The official client of Upstash against the front: what it reads back must be what it wrote.
// Usage: node client.mjs FOLDER, with URL and TOKEN in the environment; FOLDER is a node_modules.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(path.resolve(process.argv[2]), "x.js"));
const { Redis } = require("@upstash/redis");
const at = (options) =>
  new Redis({ url: process.env.URL, token: process.env.TOKEN, enableTelemetry: false, retry: false, ...options });

const redis = at({});
assert.equal(await redis.ping(), "PONG");
assert.equal(await redis.set("k", "v"), "OK");
assert.equal(await redis.get("k"), "v");
assert.equal(await redis.get("nothing"), null);
assert.equal(await redis.set("ok", "OK"), "OK");
assert.equal(await redis.get("ok"), "OK");
assert.equal(await redis.type("k"), "string");
assert.equal(await redis.incrby("n", 41), 41);
assert.equal(await redis.incr("n"), 42);

const hard = "schlüssel 钥匙 🔑 \u0000 \\\"\n\u2028 \ufffd";
await redis.set(hard, hard);
assert.equal(await redis.get(hard), hard);
await redis.set("json", { a: [1, "zwei", null] });
assert.deepEqual(await redis.get("json"), { a: [1, "zwei", null] });

assert.equal(await redis.hset("h", { a: "1", b: hard }), 2);
assert.deepEqual(await redis.hgetall("h"), { a: 1, b: hard });
assert.deepEqual(await redis.hmget("h", "a", "c"), { a: 1, c: null });
assert.equal(await redis.hgetall("no-hash"), null);

assert.equal(await redis.zadd("z", { score: 1, member: "a" }, { score: 2.5, member: hard }), 2);
assert.deepEqual(await redis.zrange("z", 0, -1, { withScores: true }), ["a", 1, hard, 2.5]);
assert.equal(await redis.zscore("z", hard), 2.5);
await redis.sadd("s", "x", "y");
assert.deepEqual((await redis.smembers("s")).sort(), ["x", "y"]);

assert.deepEqual(await redis.pipeline().set("p", "1").incr("p").get("p").lrange("l", 0, 1).exec(), ["OK", 2, 2, []]);
assert.deepEqual(await redis.multi().set("m", "1").incr("m").hgetall("h").exec(), ["OK", 2, { a: 1, b: hard }]);
const script = "redis.call('SET', KEYS[1], ARGV[1]); return {ARGV[1], 7, redis.call('GET', 'nothing'), {'deep'}}";
assert.deepEqual(await redis.eval(script, ["e"], [hard]), [hard, 7, null, ["deep"]]);

await assert.rejects(redis.hget("k", "f"), /WRONGTYPE/);
await assert.rejects(redis.eval("this is no Lua", [], []), /ERR/);
await assert.rejects(redis.multi().set("m", "2").hget("m", "f").exec(), /WRONGTYPE/);
await assert.rejects(redis.pipeline().get("k").hget("k", "f").exec(), /WRONGTYPE/);
await assert.rejects(at({ token: "another" }).get("k"), /Unauthorized/);

const plain = at({ responseEncoding: false });
assert.equal(await plain.get("k"), "v");
assert.deepEqual(await plain.hgetall("h"), { a: 1, b: hard });

console.log("all as expected");

// Usage: ioredis.js PORT. Prints ok if all went well.
const assert = require('assert');
const Redis = require('ioredis');

async function main() {
  const redis = new Redis(Number(process.argv[2]));
  assert.equal(await redis.set('a', 'b'), 'OK');
  assert.equal(await redis.get('a'), 'b');
  assert.equal(await redis.get('none'), null);
  assert.equal(await redis.set('binary', Buffer.from([0, 1, 13, 10, 255]), 'EX', 100), 'OK');
  assert.deepEqual(await redis.getBuffer('binary'), Buffer.from([0, 1, 13, 10, 255]));
  const ttl = await redis.ttl('binary');
  assert(ttl > 0 && ttl <= 100, ttl);
  assert.equal(await redis.incrby('n', 41), 41);
  assert.equal(await redis.append('a', 'cd'), 3);
  assert.equal(await redis.getrange('a', 1, -1), 'cd');
  assert.equal(await redis.mset('x', 1, 'y', 2), 'OK');
  assert.deepEqual(await redis.mget('x', 'none', 'y'), ['1', null, '2']);
  assert.equal(await redis.set('a', 'z', 'NX'), null);
  assert.equal(await redis.getdel('a'), 'bcd');

  const pipeline = redis.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.incr('n');
  const replies = await pipeline.exec();
  assert.deepEqual(replies[999], [null, 1041]);

  assert.deepEqual(await redis.multi().incr('n').strlen('binary').exec(), [[null, 1042], [null, 5]]);
  await redis.watch('n');
  await redis.duplicate().set('n', 5);
  assert.equal(await redis.multi().incr('n').exec(), null);

  const seen = new Set();
  for await (const keys of redis.scanStream({ count: 2 })) keys.forEach((k) => seen.add(k));
  assert.deepEqual([...seen].sort(), ['binary', 'n', 'x', 'y']);

  await assert.rejects(redis.incr('binary'), /ERR value is not an integer or out of range/);
  await assert.rejects(redis.call('nosuch'), /ERR unknown command 'nosuch'/);
  assert.match(await redis.info('server'), /redis_version:7\.0/);
}

main().then(() => { console.log('ok'); process.exit(0); }, (err) => { console.error(err); process.exit(1); });

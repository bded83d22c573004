// Usage: node-redis.js PORT. Prints ok if all went well.
const assert = require('assert');
const { createClient, WatchError } = require('redis');

async function main() {
  const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}`, socket: { connectTimeout: 90000 } });
  client.on('error', (err) => { console.error(err); process.exit(1); });
  await client.connect();
  assert.equal(await client.set('a', 'b'), 'OK');
  assert.equal(await client.get('a'), 'b');
  assert.equal(await client.get('none'), null);
  assert.equal(await client.set('timed', 'x', { EX: 100 }), 'OK');
  const ttl = await client.ttl('timed');
  assert(ttl > 0 && ttl <= 100, ttl);
  assert.equal(await client.incrBy('n', 41), 41);
  assert.equal(Number(await client.incrByFloat('f', 0.5)), 0.5);
  assert.equal(await client.append('a', 'cd'), 3);
  assert.equal(await client.getRange('a', 1, -1), 'cd');
  assert.equal(await client.mSet([['x', '1'], ['y', '2']]), 'OK');
  assert.deepEqual(await client.mGet(['x', 'none', 'y']), ['1', null, '2']);
  assert.equal(await client.getDel('a'), 'bcd');

  const replies = await Promise.all(Array.from({ length: 1000 }, () => client.incr('n')));
  assert.equal(replies[999], 1041);

  assert.deepEqual(await client.multi().incr('n').strLen('timed').exec(), [1042, 1]);
  const other = client.duplicate();
  await other.connect();
  await client.watch('n');
  await other.set('n', '5');
  await assert.rejects(client.multi().incr('n').exec(), WatchError);
  other.destroy();

  const seen = [];
  for await (const keys of client.scanIterator({ COUNT: 2 })) seen.push(...[keys].flat());
  assert.deepEqual([...new Set(seen)].sort(), ['f', 'n', 'timed', 'x', 'y']);

  await assert.rejects(client.incr('timed'), /ERR value is not an integer or out of range/);
  await assert.rejects(client.sendCommand(['nosuch']), /ERR unknown command 'nosuch'/);
  assert.match(await client.info('server'), /redis_version:7\.0/);
}

main().then(() => { console.log('ok'); process.exit(0); }, (err) => { console.error(err); process.exit(1); });

package command

import (
	"strings"
	"testing"
)

func TestZadd(t *testing.T) {
	script(t, `
		ZADD
		ZADD k 1
		ZADD k 1 a 2
		ZADD k x a
		ZADD k nan a
		ZADD k 1 a x b
		EXISTS k
		ZADD k NX XX 1 a
		ZADD k NX GT 1 a
		ZADD k NX LT 1 a
		ZADD k GT LT 1 a
		ZADD k NX XX GT 1 a 2
		ZADD k INCR 1 a 2 b
		ZADD k XX 1 a
		EXISTS k
		ZADD k XX INCR 1 a
		ZADD k 1 a 2 b 3 c 1.5 d
		ZADD k CH 1 a 3 b 4 e
		ZADD k nx Ch 9 a 9 f
		ZADD k GT CH 0 a 10 f 1 new
		ZADD k LT CH 0 a 10 f 1 new2
		ZADD k GT INCR -1 a
		ZADD k LT INCR 1 a
		ZADD k NX INCR 1 a
		ZADD k XX INCR 1 zz
		ZADD k INCR 1.5 a
		ZADD k XX
		ZADD k NX\x00 7 nul
		ZRANGE k 0 -1 WITHSCORES
		ZADD k 0.1 p 1e20 q 1e21 r 3.14159265358979 s inf t -inf u +inf v 0x10 w 4611686018427387904 x 4611686018427388928 y -4611686018427387904 z
		ZRANGE k 0 -1 WITHSCORES
		ZADD k -0 zero
		ZSCORE k zero
		ZADD k 0 zero2 -0 zero2
		ZRANGE k 0 -1 WITHSCORES
		ZADD big -0 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 0 b -0 c -1 d
		OBJECT ENCODING big
		ZRANGE big 0 -1 WITHSCORES
		ZREVRANGE big 0 -1 WITHSCORES
		ZSCORE big c
		ZPOPMIN big 2
		ZADD big 0 c
		ZADD big 1 c -0 c
		ZRANGE big 0 -1 WITHSCORES
		ZINCRBY k inf t
		ZINCRBY k -inf t
		ZINCRBY k inf u
		ZSCORE k t
		ZINCRBY k 1 a
		ZINCRBY k nan a
		ZINCRBY k x a
		ZINCRBY k NX 1
		ZINCRBY n 1.1 a
		ZINCRBY n 1.1 a
		SET s x
		ZADD s 1 a
		ZADD s x a
		ZINCRBY s 1 a
		ZSCORE s a
		ZCARD s
		ZMSCORE s a
		ZREM s a
		ZCARD k
		ZCARD nokey
		ZMSCORE k a nomember b
		ZMSCORE nokey a b
		ZSCORE k nomember
		ZSCORE nokey a
		ZREM k a a b nomember
		ZREM nokey a
		ZREM n a
		EXISTS n
		ZRANK k c
		ZREVRANK k c
		ZRANK k nomember
		ZRANK nokey a
		ZRANK s a
	`)
}

func TestZrange(t *testing.T) {
	script(t, `
		ZADD k 1 a 2 b 2 c 3 d 4 e 5 10 5 9
		ZRANGE k 0 -1
		ZRANGE k 0 -1 WITHSCORES
		ZRANGE k -2 -1 WITHSCORES
		ZRANGE k 2 1
		ZRANGE k 100 200
		ZRANGE k -100 1
		ZRANGE k -9223372036854775808 9223372036854775807
		ZRANGE k x 1
		ZRANGE k 0 1.5
		ZRANGE k 0 1 FOO
		ZRANGE k 0 1 LIMIT 0 1
		ZRANGE k 0 1 LIMIT 1 -1
		ZRANGE k 0 1 LIMIT 1
		ZRANGE k 0 1 LIMIT x 1
		ZRANGE k 0 -1 REV
		ZRANGE k 0 1 REV WITHSCORES
		ZRANGE k 0 1 REV REV
		ZRANGE k 2 4 BYSCORE
		ZRANGE k (2 4 BYSCORE
		ZRANGE k 2 (4 BYSCORE WITHSCORES
		ZRANGE k 4 2 BYSCORE REV
		ZRANGE k +inf -inf BYSCORE REV LIMIT 1 2
		ZRANGE k -inf +inf BYSCORE LIMIT 0 0
		ZRANGE k -inf +inf BYSCORE LIMIT -1 2
		ZRANGE k -inf +inf BYSCORE LIMIT 3 -5
		ZRANGE k -inf +inf BYSCORE LIMIT 7 1
		ZRANGE k -inf +inf BYSCORE LIMIT 8 1
		ZRANGE k a b BYSCORE
		ZRANGE k "" ( BYSCORE
		ZRANGE k 1 2 BYSCORE BYLEX
		ZRANGE k [a [b BYLEX WITHSCORES
		ZRANGE k a b BYLEX
		ZRANGE k nan 1 BYSCORE
		ZRANGE k 1e400 -1e400 BYSCORE REV
		ZRANGE k 1_0 20 BYSCORE
		ZRANGE k 0x1 0x3 BYSCORE
		ZRANGE k 1\x00x 3 BYSCORE
		ZRANGE nokey 0 -1
		ZRANGE nokey a b BYSCORE
		ZREVRANGE k 0 -1 WITHSCORES
		ZREVRANGE k 0 1 REV
		ZREVRANGE k 0 1 LIMIT 0 1
		ZRANGEBYSCORE k 2 4 WITHSCORES LIMIT 1 1
		ZRANGEBYSCORE k 2 4 BYSCORE
		ZREVRANGEBYSCORE k 4 2 WITHSCORES
		ZREVRANGEBYSCORE k 2 4
		ZADD l 0 a 0 b 0 c 0 d 0 e 0 12 0 100 0 -5
		ZRANGEBYLEX l - +
		ZRANGEBYLEX l + -
		ZRANGEBYLEX l - -
		ZRANGEBYLEX l + +
		ZRANGEBYLEX l [b (d
		ZRANGEBYLEX l (b [d
		ZRANGEBYLEX l (b (b
		ZRANGEBYLEX l [b [b
		ZRANGEBYLEX l [ (
		ZRANGEBYLEX l [ [zzz LIMIT 2 3
		ZRANGEBYLEX l -x +
		ZRANGEBYLEX l -\x00x +
		ZRANGEBYLEX l "" +
		ZRANGEBYLEX l [a [b WITHSCORES
		ZREVRANGEBYLEX l + -
		ZREVRANGEBYLEX l [d (b LIMIT 1 1
		ZRANGEBYLEX k [b [d
		ZREVRANGEBYLEX k [d [b
		ZLEXCOUNT l - +
		ZLEXCOUNT l [b (d
		ZLEXCOUNT l b d
		ZLEXCOUNT nokey b d
		ZLEXCOUNT nokey - +
		ZCOUNT k -inf +inf
		ZCOUNT k (2 3
		ZCOUNT k a 3
		ZCOUNT nokey 1 3
		ZRANGESTORE dst k 0 2
		ZRANGE dst 0 -1 WITHSCORES
		ZRANGESTORE dst k 0 2 WITHSCORES
		ZRANGESTORE dst k 2 3 BYSCORE LIMIT 1 1
		ZRANGE dst 0 -1 WITHSCORES
		EXPIRE dst 100
		ZRANGESTORE dst l [c + BYLEX
		TTL dst
		ZRANGESTORE dst l + [c BYLEX REV LIMIT 0 1
		ZRANGE dst 0 -1 WITHSCORES
		ZRANGESTORE dst nokey 0 -1
		EXISTS dst
		ZRANGESTORE dst nokey 0 -1
		ZRANGESTORE k k 0 0
		ZRANGE k 0 -1
		SET s x
		ZRANGE s 0 -1
		ZRANGE s a -1
		ZRANGESTORE dst s 0 -1
		ZRANGESTORE s k 0 -1
		TYPE s
		ZCOUNT l 0 0
		ZADD r 1 a 2 b 3 c 4 d 5 e
		ZREMRANGEBYRANK r 0 0
		ZREMRANGEBYRANK r 5 6
		ZREMRANGEBYRANK r -1 -1
		ZREMRANGEBYRANK r x y
		ZREMRANGEBYSCORE r (2 3
		ZREMRANGEBYSCORE r x 3
		ZREMRANGEBYLEX r [b [b
		ZREMRANGEBYLEX r b b
		ZRANGE r 0 -1
		ZREMRANGEBYSCORE r -inf +inf
		EXISTS r
		ZREMRANGEBYSCORE r 1 2
	`)
}

func TestZcombine(t *testing.T) {
	script(t, `
		ZADD a 1 x 2 y 3 z
		ZADD b 10 y 20 z 30 w 40 v
		SADD s y z 5
		SADD i 1 2 3
		ZADD n 1.5 1 2.5 2
		SET str x
		ZUNION 2 a b
		ZUNION 2 a b WITHSCORES
		ZUNION 3 a b s WEIGHTS 1 2 3 WITHSCORES
		ZUNION 2 a b WEIGHTS 1 WITHSCORES
		ZUNION 2 a b WEIGHTS 1 x
		ZUNION 2 a b WEIGHTS 1 nan
		ZUNION 2 a b AGGREGATE MIN WITHSCORES
		ZUNION 2 a b AGGREGATE max WITHSCORES
		ZUNION 2 a b AGGREGATE foo
		ZUNION 2 a b AGGREGATE
		ZUNION 2 a b LIMIT 1
		ZUNION 2 i n WITHSCORES
		ZUNION 2 a a WITHSCORES
		ZUNION 2 a nokey WITHSCORES WITHSCORES
		ZUNION 0 a
		ZUNION -1 a
		ZUNION x a
		ZUNION 3 a b
		ZUNION 9223372036854775807 a b
		ZUNION 2 a str
		ZUNION 2 a str FOO
		ZUNION 1 a FOO
		ZINTER 2 a b WITHSCORES
		ZINTER 2 a s WITHSCORES WEIGHTS 2 3
		ZINTER 2 a nokey
		ZINTER 2 a a WITHSCORES AGGREGATE MIN
		ZINTER 2 i n WITHSCORES
		ZINTER 0 a
		ZDIFF 2 a b WITHSCORES
		ZDIFF 2 a a
		ZDIFF 1 a WITHSCORES
		ZDIFF 2 a s WITHSCORES
		ZDIFF 2 nokey a
		ZDIFF 2 a b WEIGHTS 1 2
		ZDIFF 2 a b AGGREGATE MIN
		ZDIFF 0 a
		ZINTERCARD 2 a b
		ZINTERCARD 2 a b LIMIT 1
		ZINTERCARD 2 a b LIMIT 0
		ZINTERCARD 2 a b LIMIT -1
		ZINTERCARD 2 a b LIMIT x
		ZINTERCARD 2 a b LIMIT
		ZINTERCARD 2 a b WITHSCORES
		ZINTERCARD 0 a
		ZINTERCARD 2 a nokey
		ZADD inf inf x -inf y 0 z
		ZADD ninf -inf x inf y -inf z
		ZUNION 2 inf ninf WITHSCORES
		ZINTER 2 inf ninf WITHSCORES
		ZUNION 2 inf ninf WEIGHTS 0 0 WITHSCORES
		ZINTER 2 inf ninf WEIGHTS 0 1 WITHSCORES AGGREGATE MIN
		ZINTER 2 inf ninf WEIGHTS 1 0 WITHSCORES AGGREGATE MIN
		ZINTER 2 inf ninf WEIGHTS 1 0 WITHSCORES
		ZUNION 1 a WEIGHTS -0 WITHSCORES
		ZUNIONSTORE d 1 a WEIGHTS -0
		ZRANGE d 0 -1 WITHSCORES
		ZUNIONSTORE d 2 a b
		ZRANGE d 0 -1 WITHSCORES
		ZUNIONSTORE d 2 a b WITHSCORES
		ZUNIONSTORE d 0 a
		ZINTERSTORE d 2 a b WEIGHTS 2 0.1
		ZRANGE d 0 -1 WITHSCORES
		EXPIRE d 100
		ZDIFFSTORE d 2 a b
		TTL d
		ZRANGE d 0 -1 WITHSCORES
		ZINTERSTORE d 2 a nokey
		EXISTS d
		ZINTERSTORE d 2 a nokey
		ZUNIONSTORE a 2 a b
		ZRANGE a 0 -1 WITHSCORES
		ZUNIONSTORE str 1 a
		TYPE str
		ZUNIONSTORE s 1 s
		ZRANGE s 0 -1 WITHSCORES
	`)
}

func TestZpop(t *testing.T) {
	script(t, `
		ZPOPMIN nokey
		ZPOPMAX nokey 3
		ZPOPMIN nokey 0
		ZPOPMIN nokey -1
		ZPOPMIN nokey x
		ZPOPMIN nokey 1 2
		ZADD k 1 a 2 b 3 c 4 d 5 e 6 f 7 g
		ZPOPMIN k
		ZPOPMAX k
		ZPOPMIN k 2
		ZPOPMAX k 2
		ZPOPMIN k 0
		ZPOPMIN k 10
		EXISTS k
		ZADD k 1 a 2 b 3 c
		ZMPOP 0 k MIN
		ZMPOP x k MIN
		ZMPOP 2 k MIN
		ZMPOP 1 k
		ZMPOP 1 k FOO
		ZMPOP 1 k MIN COUNT
		ZMPOP 1 k MIN COUNT 0
		ZMPOP 1 k MIN COUNT x
		ZMPOP 1 k MIN COUNT 1 COUNT 1
		ZMPOP 1 nokey MIN
		ZMPOP 2 nokey k MIN
		ZMPOP 2 nokey k MAX COUNT 10
		ZMPOP 2 nokey k max
		SET s x
		ZMPOP 2 s k MIN
		ZPOPMIN s
		ZADD k 1 a 2 b 3 c 4 d
		BZPOPMIN k 0
		BZPOPMAX nokey k 1.5
		BZPOPMAX k x
		BZPOPMAX k -1
		BZPOPMAX s k 0
		BZMPOP 0 1 k MIN
		BZMPOP x 1 k MIN
		BZMPOP x 1 k FOO
		BZMPOP -1 1 k MIN COUNT 1
		BZMPOP 0 2 nokey k MAX COUNT 5
		MULTI
		BZPOPMIN k 0
		BZPOPMAX k 0
		BZMPOP 0 1 k MIN
		EXEC
		ZRANDMEMBER nokey
		ZRANDMEMBER nokey 3
		ZRANDMEMBER s
		ZADD k 1 a
		ZRANDMEMBER k
		ZRANDMEMBER k 5
		ZRANDMEMBER k 5 WITHSCORES
		ZRANDMEMBER k -3 WITHSCORES
		ZRANDMEMBER k 0
		ZRANDMEMBER k x
		ZRANDMEMBER k 1 FOO
		ZRANDMEMBER k 1 WITHSCORES FOO
		ZRANDMEMBER k -9223372036854775808
		ZRANDMEMBER k -9223372036854775807 WITHSCORES
		ZSCAN nokey 0
		ZSCAN nokey 0 FOO
		ZSCAN nokey x
		ZSCAN s 0
		ZSCAN k 0
		ZSCAN k 0 MATCH b
		ZSCAN k 0 COUNT 0
		ZSCAN k 0 TYPE zset
		ZADD k 0.1 b -0 c inf d
		ZSCAN k 0 MATCH [b-d] COUNT 100
	`)
}

// TestZrankWithScore tries what Redis has since 7.2.
func TestZrankWithScore(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	doString(x, c, "ZADD", "k", "1", "a", "2.5", "b")
	for _, try := range [][2]string{
		{"ZRANK k b WITHSCORE", "*2\r\n:1\r\n$3\r\n2.5\r\n"},
		{"ZREVRANK k b withscore", "*2\r\n:0\r\n$3\r\n2.5\r\n"},
		{"ZRANK k none WITHSCORE", "*-1\r\n"},
		{"ZRANK none b WITHSCORE", "*-1\r\n"},
		{"ZRANK k b FOO", "-ERR syntax error\r\n"},
		{"ZRANK k b WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command\r\n"},
	} {
		if got := doString(x, c, strings.Fields(try[0])...); got != try[1] {
			t.Errorf("%s: %q, want %q", try[0], got, try[1])
		}
	}
}

// TestBzpopWaits has clients wait for sorted sets.
func TestBzpopWaits(t *testing.T) {
	p := newPair(t)
	stores := [][]string{
		{"ZADD", "k", "1", "a", "2", "b", "3", "c"}, {"ZUNIONSTORE", "k", "2", "src", "src"}, {"ZRANGESTORE", "k", "src", "0", "-1"},
		{"GEOADD", "k", "1", "1", "a"}, {"RENAME", "src", "k"}, {"COPY", "src", "k"}, {"ZINCRBY", "k", "1", "x"},
		{"GEOSEARCHSTORE", "k", "src", "FROMLONLAT", "-180", "-85", "BYRADIUS", "100", "km"}, {"GEORADIUS", "src", "-180", "-85", "100", "km", "STORE", "k"},
	}
	waits := [][]string{{"BZPOPMIN", "k", "j", "0"}, {"BZPOPMAX", "k", "0"}, {"BZMPOP", "0", "1", "k", "MAX", "COUNT", "2"}}
	for i, store := range stores {
		cmd := waits[i%len(waits)]
		w := p.other()
		id := w.theirs.do(t, "CLIENT", "ID")
		w.theirs.send(t, cmd...)
		if got := w.ours(cmd...); got != "postponed" && got != "" {
			t.Fatalf("%q: %q", cmd, got)
		}
		await(t, "redis-server has the client wait", func() bool { return p.isBlocked(id) })
		p.same("SET", "k", "x")
		p.same("DEL", "k")
		p.same("ZADD", "src", "1", "a", "2", "b", "3", "c")
		p.same(store...)
		p.same("ZRANGE", "k", "0", "-1", "WITHSCORES")
		p.same("DEL", "k")
	}
}

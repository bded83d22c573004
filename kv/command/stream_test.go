package command

import (
	"strings"
	"testing"
)

// streamScript is a session with streams whose replies do not depend on the clock.
var streamScript = []string{
	"XADD s 1-1 a 1 b two", "XADD s 1-2 a 2 b three", "XADD s 2-* c d", "XADD s 2-* c d", "XADD s 3 a x b y", "XADD s 3 a x",
	"XADD s 0-0 a b", "XADD s 1-1 a b", "XADD s 3-0 a b", "XADD s a", "XADD s 4-1 a b c", "XADD s 4-1 a", "XADD s x a b", "XADD s -1 a b", "XADD s 4--1 a b",
	"XADD s 99999999999999999999-1 a b", "XADD s 04-05 f v", "XADD s +5-+6 f v", "XADD none NOMKSTREAM 1-1 a b", "XADD s MAXLEN 1-1", "XADD s MAXLEN ~ 1-1 a b",
	"XADD s MAXLEN -1 6-1 a b", "XADD s LIMIT 1 6-1 a b", "XADD s MAXLEN = 5 LIMIT 1 6-1 a b", "XADD s MAXLEN 5 MINID 1 6-1 a b", "XADD s maxlen = 5 6-1 a b",
	"XLEN s", "XLEN none", "XRANGE s - +", "XREVRANGE s + -", "XRANGE s - + COUNT 2", "XRANGE s - + COUNT 0", "XRANGE s - + COUNT -3", "XRANGE s - + COUNT", "XRANGE s - + FOO 1",
	"XRANGE s (2-0 (5-6", "XRANGE s 2 4", "XRANGE s (- +", "XRANGE s ( +", "XRANGE s (18446744073709551615-18446744073709551615 +", "XRANGE s - (0-0", "XRANGE s - (", "XRANGE s + -", "XRANGE none - +", "XRANGE none - + COUNT 0",
	"XREVRANGE s 4 2-1 COUNT 1", "XDEL s 3-0 99-1", "XDEL s 3-0", "XDEL s x", "XDEL none 1", "XINFO STREAM s", "XINFO STREAM s FULL", "XINFO STREAM s FULL COUNT 1", "XINFO STREAM s FULL COUNT", "XINFO STREAM s FOO", "XINFO STREAM none", "XINFO HELP", "XINFO HELP x", "XINFO FOO s", "XINFO STREAM s FULL COUNT x", "XINFO STREAM s FULL COUNT -1",
	"XTRIM s MAXLEN 3", "XTRIM s MAXLEN ~ 1", "XTRIM s MINID 5", "XTRIM s MINID 5-6", "XTRIM s FOO", "XTRIM s LIMIT 5", "XTRIM s MAXLEN = 1 LIMIT 4", "XTRIM s MAXLEN ~ 1 LIMIT -1", "XTRIM none MAXLEN 0", "XTRIM s MAXLEN x", "XTRIM s MINID x", "XTRIM s MAXLEN 0", "XINFO STREAM s", "EXISTS s", "TYPE s", "OBJECT ENCODING s",
	"XSETID s 3-1", "XSETID s 100-1 ENTRIESADDED 50 MAXDELETEDID 99-1", "XINFO STREAM s", "XSETID s 5 MAXDELETEDID 6", "XSETID s 5 ENTRIESADDED -1", "XSETID s x", "XSETID none 1", "XSETID s 1 FOO", "XADD s * a b c d NOMKSTREAM",
	"DEL s", "XADD s 18446744073709551615-18446744073709551615 a b", "XADD s * a b", "XADD s 1 a b", "XINFO STREAM s", "DEL s",
	"XADD s 1-1 a 1", "XADD s 1-2 a 2", "XADD s 1-3 b 3", "XGROUP CREATE s g 0", "XGROUP CREATE s g 0", "XGROUP CREATE s g2 $", "XGROUP CREATE none g 0", "XGROUP CREATE m g 0 MKSTREAM", "XGROUP CREATE s g3 1-2 ENTRIESREAD 2", "XGROUP CREATE s g4 x", "XGROUP CREATE s g4 0 ENTRIESREAD -2", "XGROUP CREATE s g4 0 ENTRIESREAD x", "XGROUP CREATE s g4 0 FOO", "XGROUP CREATE s g4 + ", "XGROUP SETID s g4 0", "XGROUP FOO s g", "XGROUP CREATE s",
	"XGROUP HELP", "XGROUP CREATE s g5 0 MKSTREAM MKSTREAM ENTRIESREAD 1", "XINFO GROUPS s", "XINFO GROUPS none", "XINFO CONSUMERS s g", "XINFO CONSUMERS s nog", "XINFO CONSUMERS none g",
	"XGROUP CREATECONSUMER s g alice", "XGROUP CREATECONSUMER s g alice", "XGROUP CREATECONSUMER s nog alice", "XGROUP DELCONSUMER s g nobody", "XGROUP DESTROY s nog", "XGROUP DESTROY none g",
	"XREADGROUP GROUP g alice COUNT 2 STREAMS s >", "XREADGROUP GROUP g bob STREAMS s >", "XREADGROUP GROUP g bob STREAMS s >", "XREADGROUP GROUP g alice STREAMS s 0", "XREADGROUP GROUP g alice STREAMS s 1-1", "XREADGROUP GROUP g alice STREAMS s $", "XREADGROUP GROUP nog alice STREAMS s >", "XREADGROUP GROUP g alice STREAMS none >", "XREADGROUP GROUP g alice STREAMS s x", "XREADGROUP GROUP g alice NOACK COUNT 1 STREAMS s s > 0", "XREADGROUP GROUP g alice FOO STREAMS s >", "XREADGROUP COUNT 1 COUNT 1 STREAMS s >", "XREADGROUP GROUP g alice BLOCK x STREAMS s >", "XREADGROUP GROUP g alice BLOCK -1 STREAMS s >", "XREADGROUP GROUP g a STREAMS s > 0",
	"XREAD STREAMS s 0", "XREAD COUNT 1 STREAMS s m none 0 0 0", "XREAD STREAMS s $", "XREAD STREAMS s >", "XREAD STREAMS s", "XREAD STREAMS s x", "XREAD COUNT x STREAMS s 0", "XREAD COUNT -1 STREAMS s 0", "XREAD GROUP a b STREAMS s 0", "XREAD NOACK STREAMS s 0", "XREAD s 0 1", "XREAD STREAMS s 1-3", "XREAD STREAMS s +",
	"XPENDING s g", "XPENDING s g2", "XPENDING s nog", "XPENDING none g", "XPENDING s g - + 1 nobody", "XPENDING s g - +", "XPENDING s g - + x", "XPENDING s g IDLE x - + 1", "XPENDING s g IDLE 1 - +", "XPENDING s g IDLE 100000 - + 10", "XPENDING s g x + 1", "XPENDING s g (1-1 (1-1 3",
	"XACK s g 1-1 1-1 9-9", "XACK s nog 1-1", "XACK none g 1-1", "XACK s g x", "XPENDING s g", "XDEL s 1-2", "XREADGROUP GROUP g alice STREAMS s 0", "XINFO GROUPS s",
	"XCLAIM s g carol 0 1-2 1-3 JUSTID", "XCLAIM s g carol 0 1-3", "XCLAIM s g carol 0 1-1 FORCE", "XCLAIM s g carol 100000 1-1", "XCLAIM s g carol 0 1-1 RETRYCOUNT 7 TIME 5 IDLE 3 LASTID 9-9", "XCLAIM s nog carol 0 1-1", "XCLAIM s g carol x 1-1", "XCLAIM s g carol 0 1-1 FOO", "XCLAIM s g carol 0 1-1 IDLE x", "XCLAIM s g carol 0 1-1 TIME x", "XCLAIM s g carol 0 1-1 RETRYCOUNT x", "XCLAIM s g carol 0 1-1 LASTID x", "XCLAIM s g carol -5 JUSTID 1-1", "XCLAIM none g c 0 1-1", "XPENDING s g",
	"XAUTOCLAIM s g dave 0 0", "XAUTOCLAIM s g dave 0 0 COUNT 1 JUSTID", "XAUTOCLAIM s g dave 0 (1-1 COUNT 5", "XAUTOCLAIM s g dave 0 0 COUNT 0", "XAUTOCLAIM s g dave 0 0 COUNT x", "XAUTOCLAIM s g dave x 0", "XAUTOCLAIM s g dave 0 x", "XAUTOCLAIM s g dave 0 0 FOO", "XAUTOCLAIM s nog dave 0 0", "XAUTOCLAIM none g dave 0 0", "XAUTOCLAIM s g dave 100000 0", "XDEL s 1-1 1-3", "XAUTOCLAIM s g dave 0 0", "XINFO GROUPS s", "XINFO STREAM s",
	"XGROUP SETID s g 0 ENTRIESREAD 1", "XGROUP SETID s g $", "XGROUP SETID s g -", "XGROUP SETID s g + ENTRIESREAD 3 ENTRIESREAD 4", "XGROUP SETID s g +", "XGROUP SETID s nog 0", "XGROUP SETID none g 0", "XINFO GROUPS s", "XGROUP DELCONSUMER s g carol", "XGROUP DESTROY s g", "XINFO GROUPS s",
	"SET str x", "XADD str 1 a b", "XADD str NOMKSTREAM 1 a b", "XLEN str", "XRANGE str - +", "XDEL str 1", "XTRIM str MAXLEN 1", "XREAD STREAMS str 0", "XSETID str 1", "XGROUP CREATE str g 0", "XGROUP CREATE str g 0 MKSTREAM", "XREADGROUP GROUP g c STREAMS str >", "XACK str g 1", "XCLAIM str g c 0 1", "XAUTOCLAIM str g c 0 0", "XPENDING str g", "XINFO STREAM str", "XINFO GROUPS str", "XINFO CONSUMERS str g", "GET s", "LPUSH s a",
	"XADD b 1-1 a b", "XDEL b 1-1", "XLEN b", "TYPE b", "XREAD STREAMS b 0", "XADD b 1-1 a b", "XADD b 1-2 a b", "XRANGE b - +", "XINFO STREAM b",
	"COMMAND GETKEYS XREAD STREAMS a b 0 0", "COMMAND GETKEYS XREAD COUNT 5 BLOCK 10 STREAMS a 0", "COMMAND GETKEYS XREADGROUP GROUP g c STREAMS a b > >", "COMMAND GETKEYS XREAD STREAMS a b 0", "COMMAND GETKEYS XGROUP CREATE k g 0",
	"XADD", "XREAD STREAMS", "XGROUP", "XINFO", "XINFO STREAM", "XPENDING s", "XACK s g", "XREAD BLOCK 10",
}

func TestStreamCommandsAreThoseOfRedis(t *testing.T) {
	for _, proto := range []string{"2", "3"} {
		t.Run("RESP"+proto, func(t *testing.T) {
			p := newPair(t)
			p.both("HELLO", proto)
			for _, line := range streamScript {
				p.same(strings.Fields(line)...)
			}
		})
	}
}

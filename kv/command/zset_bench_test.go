package command

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// fillZset adds members "member:…" with scores that are spread to a sorted set.
func fillZset(x *Ctx, c *Client, key string, n int) {
	args := [][]byte{[]byte("ZADD"), []byte(key)}
	for i := range n {
		args = append(args, strconv.AppendInt(nil, int64(i*7919%n), 10), fmt.Appendf(nil, "member:%08d", i))
		if len(args) > 1000 || i == n-1 {
			x.Do(c, args)
			c.Out = c.Out[:0]
			args = args[:2]
		}
	}
}

// zsetLines are frequent commands. M is replaced by a member, S by a score.
var zsetLines = []string{
	"ZADD k S M", "ZINCRBY k 1 M", "ZSCORE k M", "ZRANK k M", "ZCOUNT k 100 S", "ZRANGE k S S", "ZRANGEBYSCORE k S +inf LIMIT 0 10",
	"ZREVRANGE k 0 9 WITHSCORES", "ZCARD k", "ZREM k nomember",
}

// TestZsetAllocations finds what escapes to Go's heap.
func TestZsetAllocations(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	for _, n := range []int{20, 2000} {
		doString(x, c, "DEL", "k")
		fillZset(x, c, "k", n)
		for _, line := range zsetLines {
			var args [][]byte
			for _, word := range strings.Fields(strings.NewReplacer("M", "member:00000012", "S", "15").Replace(line)) {
				args = append(args, []byte(word))
			}
			args[0] = []byte(strings.Fields(line)[0])
			if got := testing.AllocsPerRun(200, func() {
				x.Do(c, args)
				c.Out = c.Out[:0]
			}); got > 0 {
				t.Errorf("%d members: %s allocates %v times", n, line, got)
			}
		}
	}
}

func BenchmarkZset(b *testing.B) {
	w := newWorld(b)
	x, c := w.e.NewCtx(), w.connect()
	for _, n := range []int{100, 1_000_000} {
		doString(x, c, "DEL", "k")
		fillZset(x, c, "k", n)
		for _, line := range zsetLines {
			name := strings.ReplaceAll(line, " ", "_")
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				words := strings.Fields(line)
				args := make([][]byte, len(words))
				for i := range b.N {
					m := i * 104729 % n
					for j, word := range words {
						switch {
						case j > 1 && word == "M":
							args[j] = fmt.Appendf(args[j][:0], "member:%08d", m)
						case j > 1 && word == "S":
							args[j] = strconv.AppendInt(args[j][:0], int64(m), 10)
						default:
							args[j] = append(args[j][:0], word...)
						}
					}
					x.Do(c, args)
					c.Out = c.Out[:0]
				}
			})
		}
	}
}

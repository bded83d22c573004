package command

import (
	"strconv"
	"testing"
)

// XGROUP DELCONSUMER leaves the pending entries of the others, however those of the consumer lie among them, and of
// other groups with consumers of the same numbers.
func TestDeleteConsumerPending(t *testing.T) {
	p := newPair(t)
	r := newRand(fuzzSeed(t))
	const entries, group, other = 600, "g", "h"
	for _, longest := range []int{1, 3, 40, entries} {
		p.same("DEL", "s")
		for i := range entries {
			p.same("XADD", "s", strconv.Itoa(i+1)+"-1", "f", "v")
		}
		for _, g := range []string{group, other} {
			p.same("XGROUP", "CREATE", "s", g, "0")
			for read := 0; read < entries; {
				n := 1 + r.IntN(longest)
				consumer := "c" + strconv.Itoa(r.IntN(3))
				p.same("XREADGROUP", "GROUP", g, consumer, "COUNT", strconv.Itoa(n), "STREAMS", "s", ">")
				read += n
			}
			p.same("XACK", "s", g, "1-1", "7-1", "8-1", "300-1", "600-1")
		}
		for _, consumer := range []string{"c1", "c0", "c1", "c2"} {
			for _, g := range []string{group, other} {
				p.same("XGROUP", "DELCONSUMER", "s", group, consumer)
				p.same("XPENDING", "s", g)
				for _, c := range []string{"c0", "c1", "c2"} {
					ours, theirs := p.both("XPENDING", "s", g, "-", "+", "1000", c)
					if a, b := len(ours), len(theirs); a-b > 1000 || b-a > 1000 { // idle times differ in length
						t.Errorf("XPENDING of %s in %s: %d and %d bytes", c, g, a, b)
					}
				}
			}
			if err := p.world.e.Store.Check(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

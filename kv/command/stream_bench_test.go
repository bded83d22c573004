package command

import (
	"strconv"
	"testing"
)

// BenchmarkStreams times commands on a stream that grows, or has 100,000 entries.
func BenchmarkStreams(b *testing.B) {
	w := newWorld(b)
	x, c := w.e.NewCtx(), w.connect()
	run := func(args ...[]byte) {
		x.Do(c, args)
		c.Out = c.Out[:0]
	}
	args := func(words ...string) (list [][]byte) {
		for _, s := range words {
			list = append(list, []byte(s))
		}
		return list
	}
	b.Run("XADD", func(b *testing.B) {
		add := args("XADD", "grows", "*", "field", "value of some length", "other", "12345")
		b.ReportAllocs()
		for b.Loop() {
			run(add...)
		}
	})
	b.Run("XADD MAXLEN", func(b *testing.B) {
		add := args("XADD", "capped", "MAXLEN", "~", "1000", "*", "field", "value of some length", "other", "12345")
		b.ReportAllocs()
		for b.Loop() {
			run(add...)
		}
	})
	for i := range 100_000 {
		run(args("XADD", "s", strconv.Itoa(i+1)+"-1", "field", "value of some length", "other", "12345")...)
	}
	run(args("XGROUP", "CREATE", "s", "g", "0")...)
	for name, cmd := range map[string][][]byte{
		"XRANGE of 10":     args("XRANGE", "s", "50000", "+", "COUNT", "10"),
		"XREVRANGE of 10":  args("XREVRANGE", "s", "50000", "-", "COUNT", "10"),
		"XREAD of 10":      args("XREAD", "COUNT", "10", "STREAMS", "s", "90000"),
		"XREADGROUP of 10": args("XREADGROUP", "GROUP", "g", "c", "COUNT", "10", "STREAMS", "s", ">"),
		"XLEN":             args("XLEN", "s"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run(cmd...)
			}
		})
	}
}

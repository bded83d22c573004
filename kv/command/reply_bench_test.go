package command

import (
	"fmt"
	"testing"
)

// BenchmarkWholeCollection is what reading all of a million elements costs, the memory for the reply included.
func BenchmarkWholeCollection(b *testing.B) {
	const count, perCommand = 1_000_000, 500
	elements := map[string]func(i int) string{
		"int":    func(i int) string { return fmt.Sprint(i) },
		"20byte": func(i int) string { return fmt.Sprintf("element:%012d", i*7919%1_000_003) },
	}
	for _, bench := range []struct {
		name string
		fill func(i int, e string) []string // what RPUSH or the like gets for an element
		read []string
	}{
		{"LRANGE", func(i int, e string) []string { return []string{e} }, []string{"LRANGE", "k", "0", "-1"}},
		{"SMEMBERS", func(i int, e string) []string { return []string{e} }, []string{"SMEMBERS", "k"}},
		{"HGETALL", func(i int, e string) []string { return []string{e, e} }, []string{"HGETALL", "k"}},
		{"ZRANGE", func(i int, e string) []string { return []string{fmt.Sprint(i), e} }, []string{"ZRANGE", "k", "0", "-1"}},
		{"XRANGE", func(i int, e string) []string { return []string{fmt.Sprint(i + 1), "f", e} }, []string{"XRANGE", "k", "-", "+"}},
	} {
		for kind, elem := range elements {
			b.Run(bench.name+"/"+kind, func(b *testing.B) {
				w := newWorld(b)
				x, c := w.e.NewCtx(), w.connect()
				add := map[byte]string{'L': "RPUSH", 'S': "SADD", 'H': "HSET", 'Z': "ZADD", 'X': "XADD"}[bench.name[0]]
				args := []string{add, "k"}
				for i := range count {
					args = append(args, bench.fill(i, elem(i))...)
					if add == "XADD" || i%perCommand == perCommand-1 {
						doString(x, c, args...)
						args = args[:2]
					}
				}
				read := make([][]byte, len(bench.read))
				for i := range read {
					read[i] = []byte(bench.read[i])
				}
				for b.Loop() {
					x.BeginRound()
					x.Do(c, read)
					x.EndRound()
					b.SetBytes(int64(len(c.Out)))
					c.Out = nil
				}
			})
		}
	}
}

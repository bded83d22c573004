package command

import (
	"fmt"
	"testing"
)

// BenchmarkDo runs commands through the dispatcher alone: no socket, no parser.
//
//	go test ./kv/command -bench Do -benchtime 2s
func BenchmarkDo(b *testing.B) {
	for _, name := range []string{"PING", "GET", "SET", "MULTI-SET-EXEC"} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			x, c := w.e.NewCtx(), w.connect()
			const keys = 100_000
			all := make([][]byte, keys)
			value := make([]byte, 64)
			for i := range all {
				all[i] = fmt.Appendf(nil, "key:%07d", i)
				doString(x, c, "SET", string(all[i]), string(value))
			}
			args := [][]byte{[]byte(name), nil, value}
			switch name {
			case "PING":
				args = args[:1]
			case "GET":
				args = args[:2]
			}
			multi, set, exec := [][]byte{[]byte("MULTI")}, [][]byte{[]byte("SET"), nil, value}, [][]byte{[]byte("EXEC")}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if i%16 == 0 {
					x.EndRound()
					c.Out = c.Out[:0]
					x.BeginRound()
				}
				key := all[i*7919%keys]
				if name == "MULTI-SET-EXEC" {
					set[1] = key
					x.Do(c, multi)
					x.Do(c, set)
					x.Do(c, exec)
					continue
				}
				if len(args) > 1 {
					args[1] = key
				}
				x.Do(c, args)
			}
		})
	}
}

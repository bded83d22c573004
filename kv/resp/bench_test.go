package resp

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/tidwall/redcon"
)

var sink []byte

func benchmarkNext(b *testing.B, command string, perCommand int) {
	buf := []byte(command)
	var p Parser
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		for at := 0; at < len(buf); {
			args, n, err := p.Next(buf[at:], true)
			if err != nil || n == 0 || len(args) != perCommand {
				b.Fatal(len(args), n, err)
			}
			at += n
		}
	}
}

func BenchmarkNext(b *testing.B) {
	set := "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$3\r\nxxx\r\n"
	b.Run("ping", func(b *testing.B) { benchmarkNext(b, "*1\r\n$4\r\nPING\r\n", 1) })
	b.Run("get", func(b *testing.B) { benchmarkNext(b, "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n", 2) })
	b.Run("set", func(b *testing.B) { benchmarkNext(b, set, 3) })
	b.Run("set x16", func(b *testing.B) { benchmarkNext(b, string(bytes.Repeat([]byte(set), 16)), 3) })
	b.Run("inline", func(b *testing.B) { benchmarkNext(b, "SET key:000000000042 xxx\r\n", 3) })
	b.Run("set 16 KiB", func(b *testing.B) {
		benchmarkNext(b, fmt.Sprintf("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$16384\r\n%16384d\r\n", 1), 3)
	})
	var mset bytes.Buffer
	fmt.Fprintf(&mset, "*1001\r\n$4\r\nMSET\r\n")
	for i := range 500 {
		fmt.Fprintf(&mset, "$7\r\nkey:%03d\r\n$5\r\nvalue\r\n", i)
	}
	b.Run("mset 1000 args", func(b *testing.B) { benchmarkNext(b, mset.String(), 1001) })
}

func BenchmarkReply(b *testing.B) {
	dst := make([]byte, 0, 32<<10)
	value, large := bytes.Repeat([]byte("v"), 64), bytes.Repeat([]byte("v"), 16<<10)
	run := func(name string, f func() []byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink = f()
			}
		})
	}
	run("bulk", func() []byte { return AppendBulk(dst, value) })
	run("bulk by redcon", func() []byte { return redcon.AppendBulk(dst, value) })
	run("bulk 16 KiB", func() []byte { return AppendBulk(dst, large) })
	run("int 4711", func() []byte { return AppendInt(dst, 4711) })
	run("int 4711 by redcon", func() []byte { return redcon.AppendInt(dst, 4711) })
	run("int large", func() []byte { return AppendInt(dst, 1<<60) })
	run("double 0.1", func() []byte { return AppendDouble(dst, 0.1, true) })
	run("double 12", func() []byte { return AppendDouble(dst, 12, true) })
	run("null", func() []byte { return AppendNull(dst, true) })
	run("error", func() []byte { return AppendError(dst, "ERR syntax error") })
}

func BenchmarkNumbers(b *testing.B) {
	b.Run("ParseInt", func(b *testing.B) {
		in := []byte("123456789")
		for b.Loop() {
			ParseInt(in)
		}
	})
	b.Run("ParseFloat", func(b *testing.B) {
		in := []byte("1234.5678")
		b.ReportAllocs()
		for b.Loop() {
			ParseFloat(in)
		}
	})
	b.Run("IncrByFloat", func(b *testing.B) {
		cur, incr := []byte("10.5"), []byte("0.1")
		b.ReportAllocs()
		for b.Loop() {
			sink, _ = IncrByFloat(cur, incr)
		}
	})
}

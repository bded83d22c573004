package rdb

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Run these with -fuzzminimizetime 1x: measuring memory makes each run slow, and the minimizer spends its
// minute on each new input.

// fuzzBudget is how much memory any input of the fuzzers may cost, in bytes: fixed buffers, and per byte
// of input what LZF may expand to and growing in steps costs on top.
func fuzzBudget(n int) uint64 { return 8<<20 + uint64(n)*lzfMaxRatio*4 }

// checkMemory fails if f allocates more than the budget for n bytes.
func checkMemory(t *testing.T, n int, f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > fuzzBudget(n) {
		t.Fatalf("%d bytes allocated for an input of %d", used, n)
	}
}

func FuzzDecoder(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.rdb")
	for _, name := range files {
		if p, err := os.ReadFile(name); err == nil && len(p) < 64<<10 {
			f.Add(p)
		}
	}
	f.Add([]byte("REDIS0003\xfd\x00\x00\x00\x01\x00\x01a\xc3\x04\x04\x00a\x20\x00\xff"))
	f.Fuzz(func(t *testing.T, file []byte) {
		var small, large string
		checkMemory(t, len(file), func() {
			d := NewDecoder(bytes.NewReader(file), DecoderOptions{BufferSize: minReadBuffer, SkipChecksum: true})
			var ev Event
			for d.Next(&ev) == nil {
				if len(ev.Key) > len(file)*lzfMaxRatio || len(ev.Value) > len(file)*lzfMaxRatio {
					t.Fatalf("key of %d, value of %d bytes", len(ev.Key), len(ev.Value))
				}
			}
			if d.Offset() > int64(len(file)) {
				t.Fatalf("offset %d in %d bytes", d.Offset(), len(file))
			}
		})
		if len(file) > 1<<16 {
			return
		}
		small = eventText(bytes.NewReader(file), DecoderOptions{BufferSize: minReadBuffer})
		large = eventText(bytes.NewReader(file), DecoderOptions{BufferSize: 1 << 17})
		if small != large {
			t.Fatalf("a small buffer gives\n%s\na large one\n%s", small, large)
		}
	})
}

func FuzzLZF(f *testing.F) {
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 4)
	f.Add([]byte("\x00a\xe0\x10\x00"), 27)
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		if n < 0 || n > 1<<20 {
			return
		}
		DecompressLZF(make([]byte, n), p) // any answer, no panic
		dst := make([]byte, n)
		m := CompressLZF(dst, p, new(LZFTable))
		if m == 0 {
			return
		}
		out := make([]byte, len(p))
		if err := DecompressLZF(out, dst[:m]); err != nil || !bytes.Equal(out, p) {
			t.Fatalf("does not come back: %v", err)
		}
		if !plausibleLZF(uint64(m), uint64(len(p))) {
			t.Fatalf("%d bytes from %d are called implausible", m, len(p))
		}
	})
}

func FuzzParseDump(f *testing.F) {
	f.Add([]byte("\x00\xc0\n"))
	f.Add([]byte("\x00\xc3\x04\x04\x00a\x20\x00"))
	f.Add([]byte("\x04\x01\x01a\x01b"))
	f.Fuzz(func(t *testing.T, body []byte) {
		ParseDump(body, 1<<20)
		payload := AppendDumpFooter(bytes.Clone(body), 0, Version)
		checkMemory(t, len(body), func() {
			_, value, err := ParseDump(payload, defaultMaxString)
			if err != nil {
				return
			}
			_, again, err := ParseDump(AppendDumpString(nil, value, new(LZFTable)), defaultMaxString)
			if err != nil || !bytes.Equal(again, value) {
				t.Fatalf("%q does not come back: %v", value, err)
			}
		})
	})
}

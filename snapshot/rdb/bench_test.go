package rdb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

func BenchmarkCRC(b *testing.B) {
	p := randomBytes(rand.New(rand.NewPCG(1, 1)), 1<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		UpdateCRC(0, p)
	}
}

func BenchmarkLZF(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		name string
		src  []byte
	}{
		{"json64", sampleJSON(rng, 64)}, {"json300", sampleJSON(rng, 300)}, {"json16k", sampleJSON(rng, 16<<10)},
		{"json1m", sampleJSON(rng, 1<<20)}, {"random64", randomBytes(rng, 64)}, {"random1m", randomBytes(rng, 1<<20)},
		{"zeroes1m", make([]byte, 1<<20)},
	} {
		table, dst := new(LZFTable), make([]byte, len(c.src)*2)
		n := CompressLZF(dst, c.src, table)
		b.Run("compress/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.src)))
			for b.Loop() {
				CompressLZF(dst, c.src, table)
			}
			b.ReportMetric(float64(len(c.src))/float64(n), "ratio")
		})
		out := make([]byte, len(c.src))
		b.Run("decompress/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.src)))
			for b.Loop() {
				if err := DecompressLZF(out, dst[:n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLZFPieces compresses different values one after the other, as a save does; the same value again
// and again would train the branch predictor.
func BenchmarkLZFPieces(b *testing.B) {
	src := sampleJSON(rand.New(rand.NewPCG(1, 1)), 8<<20)
	for _, size := range []int{64, 300, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			table, dst := new(LZFTable), make([]byte, size*2)
			b.SetBytes(int64(len(src)))
			total := 0
			for b.Loop() {
				total = 0
				for at := 0; at+size <= len(src); at += size {
					total += CompressLZF(dst, src[at:at+size], table)
				}
			}
			b.ReportMetric(float64(len(src))/float64(total), "ratio")
		})
	}
}

type countSink struct{ n int64 }

func (s *countSink) Write(p []byte) error { s.n += int64(len(p)); return nil }

// benchKeys is the number of keys in each round of the benchmarks below.
const benchKeys = 100_000

func benchKeySet() (keys, values [][]byte) {
	rng := rand.New(rand.NewPCG(2, 2))
	for i := range benchKeys {
		keys = append(keys, fmt.Appendf(nil, "key:%07d", i))
		values = append(values, randomBytes(rng, 64))
	}
	return keys, values
}

func encodeKeys(e *Encoder, sink Sink, keys, values [][]byte) error {
	e.Reset(sink)
	e.Header()
	e.SelectDB(0)
	e.ResizeDB(int64(len(keys)), 0)
	for i := range keys {
		if err := e.String(keys[i], values[i], 0); err != nil {
			return err
		}
	}
	return e.Footer()
}

// BenchmarkEncoder reports the time for a key of 11 bytes with a value of 64.
func BenchmarkEncoder(b *testing.B) {
	keys, values := benchKeySet()
	for _, compress := range []bool{false, true} {
		b.Run(fmt.Sprint("compress=", compress), func(b *testing.B) {
			e := NewEncoder(make([]byte, 1<<20), EncoderOptions{Compress: compress, Checksum: true})
			var sink countSink
			for b.Loop() {
				if err := encodeKeys(e, &sink, keys, values); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchKeys, "ns/key")
		})
	}
}

type bufferSink struct{ bytes.Buffer }

func (s *bufferSink) Write(p []byte) error { _, err := s.Buffer.Write(p); return err }

func BenchmarkDecoder(b *testing.B) {
	keys, values := benchKeySet()
	var sink bufferSink
	e := NewEncoder(make([]byte, 1<<20), EncoderOptions{Checksum: true})
	if err := encodeKeys(e, &sink, keys, values); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d := NewDecoder(bytes.NewReader(sink.Bytes()), DecoderOptions{})
		var ev Event
		for ev.Kind != KindEOF {
			if err := d.Next(&ev); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchKeys, "ns/key")
}

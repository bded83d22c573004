package rdb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkCRC runs over blocks of several sizes, in bytes; 16 MiB is beyond L2.
func BenchmarkCRC(b *testing.B) {
	p := randomBytes(rand.New(rand.NewPCG(1, 1)), 16<<20)
	for _, c := range []struct {
		name string
		size int
	}{{"16", 16}, {"300", 300}, {"4k", 4 << 10}, {"1m", 1 << 20}, {"16m", 16 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(c.size))
			for b.Loop() {
				UpdateCRC(0, p[:c.size])
			}
		})
	}
	b.Run("combine", func(b *testing.B) { // joins the sums of pieces that were computed apart
		for b.Loop() {
			CombineCRC(1, 2, 4<<20)
		}
	})
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
			b.ReportAllocs()
			b.SetBytes(int64(len(c.src)))
			for b.Loop() {
				CompressLZF(dst, c.src, table)
			}
			b.ReportMetric(float64(len(c.src))/float64(n), "ratio")
		})
		out := make([]byte, len(c.src))
		b.Run("decompress/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
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
// and again would train the branch predictor. The room is what the encoder gives: less than the value.
func BenchmarkLZFPieces(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	hex := randomBytes(rng, 1<<20)
	for i := range hex {
		hex[i] = "0123456789abcdef"[hex[i]&15]
	}
	for _, kind := range []struct {
		name string
		src  []byte
	}{{"json", sampleJSON(rng, 1<<20)}, {"random", randomBytes(rng, 1<<20)}, {"hex", hex}} {
		src := kind.src
		for _, size := range []int{64, 300, 4 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, size), func(b *testing.B) {
				table, dst := new(LZFTable), make([]byte, size-4)
				b.SetBytes(int64(len(src)))
				total := 0
				for b.Loop() {
					total = 0
					for at := 0; at+size <= len(src); at += size {
						n := CompressLZF(dst, src[at:at+size], table)
						if n == 0 {
							n = size
						}
						total += n
					}
				}
				b.ReportMetric(float64(len(src))/float64(total), "ratio")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(src)/size), "ns/value")
			})
		}
	}
}

type countSink struct{ n int64 }

func (s *countSink) Write(p []byte) error { s.n += int64(len(p)); return nil }

// benchSet is the content of a file: about 5 MB of keys and values, no two alike.
type benchSet struct {
	name         string
	keys, values [][]byte
	bytes        int64
}

// benchSets are values of the kinds that the encoder tells apart.
func benchSets() []benchSet {
	rng := rand.New(rand.NewPCG(2, 2))
	sets := []benchSet{{name: "int"}, {name: "random64"}, {name: "random300"}, {name: "json64"}, {name: "json300"}, {name: "json16k"}, {name: "random1m"}}
	for i := range sets {
		s := &sets[i]
		for n := 0; s.bytes < 5_000_000 && n < 50_000; n++ {
			var v []byte
			switch s.name {
			case "int":
				v = fmt.Append(nil, rng.Int32())
			case "random64":
				v = randomBytes(rng, 64)
			case "random300":
				v = randomBytes(rng, 300)
			case "json64":
				v = sampleJSON(rng, 64)
			case "json300":
				v = sampleJSON(rng, 300)
			case "json16k":
				v = sampleJSON(rng, 16<<10)
			case "random1m":
				v = randomBytes(rng, 1<<20)
			}
			s.keys, s.values = append(s.keys, fmt.Appendf(nil, "key:%07d", n)), append(s.values, v)
			s.bytes += int64(11 + len(v))
		}
	}
	return sets
}

func (s *benchSet) encode(e *Encoder, sink Sink) error {
	e.Reset(sink)
	e.Header()
	e.SelectDB(0)
	e.ResizeDB(int64(len(s.keys)), 0)
	for i := range s.keys {
		if err := e.String(s.keys[i], s.values[i], 0); err != nil {
			return err
		}
	}
	return e.Footer()
}

// BenchmarkEncoder writes a whole file; MB/s are of keys and values, ratio is what they are of its bytes.
func BenchmarkEncoder(b *testing.B) {
	for _, s := range benchSets() {
		for _, compress := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/compress=%t", s.name, compress), func(b *testing.B) {
				e := NewEncoder(make([]byte, 1<<20), EncoderOptions{Compress: compress, Checksum: true})
				var sink countSink
				b.ReportAllocs()
				b.SetBytes(s.bytes)
				for b.Loop() {
					sink.n = 0
					if err := s.encode(e, &sink); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(s.bytes)/float64(sink.n), "ratio")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(s.keys)), "ns/key")
			})
		}
	}
}

type bufferSink struct{ bytes.Buffer }

func (s *bufferSink) Write(p []byte) error { _, err := s.Buffer.Write(p); return err }

// BenchmarkDecoder reads a whole file; MB/s are of keys and values.
func BenchmarkDecoder(b *testing.B) {
	for _, s := range benchSets() {
		for _, compress := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/compress=%t", s.name, compress), func(b *testing.B) {
				var sink bufferSink
				e := NewEncoder(make([]byte, 1<<20), EncoderOptions{Compress: compress, Checksum: true})
				if err := s.encode(e, &sink); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.SetBytes(s.bytes)
				for b.Loop() {
					d := NewDecoder(bytes.NewReader(sink.Bytes()), DecoderOptions{})
					var ev Event
					for ev.Kind != KindEOF {
						if err := d.Next(&ev); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(s.keys)), "ns/key")
			})
		}
	}
}

// BenchmarkDump makes and reads payloads of DUMP and RESTORE.
func BenchmarkDump(b *testing.B) {
	rng, table := rand.New(rand.NewPCG(3, 3)), new(LZFTable)
	for _, size := range []int{64, 16 << 10} {
		value := sampleJSON(rng, size)
		payload := AppendDumpString(nil, value, table)
		b.Run(fmt.Sprintf("append/json%d", size), func(b *testing.B) {
			dst := make([]byte, 0, 2*size+64)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				AppendDumpString(dst, value, table)
			}
		})
		b.Run(fmt.Sprintf("parse/json%d", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, _, err := ParseDump(payload, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLen is the smallest leaf: a length in each of its four forms.
func BenchmarkLen(b *testing.B) {
	lens := []uint64{11, 300, 1 << 20, 1 << 40}
	dst := make([]byte, 0, 64)
	b.Run("append x4", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = dst[:0]
			for _, n := range lens {
				dst = AppendLen(dst, n)
			}
		}
	})
	b.Run("read x4", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for p := dst; len(p) > 0; {
				_, n, _, err := ReadLen(p)
				if err != nil {
					b.Fatal(err)
				}
				p = p[n:]
			}
		}
	})
}

package rdb

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// entry is a key as the tests compare it.
type entry struct {
	db         int
	key, value string
	expireAtMs int64
}

// edgeEntries are keys and values of each encoding, each length class and each expiry, in two databases.
func edgeEntries() []entry {
	rng := rand.New(rand.NewPCG(15, 16))
	const future = 4_000_000_000_000
	list := []entry{
		{0, "", "empty key", 0}, {0, "empty value", "", 0}, {0, "123", "int key", 0}, {0, "int64", "9223372036854775807", 0},
		{0, "\x00\r\n\xff", "\xff\x00binary\r\n", 0}, {0, "ttl", "soon", future}, {0, "ttl int", "77", future + 1},
		{0, strings.Repeat("long key ", 30), "v", 0}, {0, strings.Repeat("k", 5000), strings.Repeat("v", 5000), 0},
		{9, "other db", "x", 0}, {9, "other ttl", "y", future + 999},
	}
	for _, n := range []string{"0", "-1", "127", "128", "-128", "-129", "32767", "32768", "-32769", "2147483647",
		"2147483648", "-2147483648", "-2147483649", "007", "-0", "+5", "1e3", "12345678901", "123456789012"} {
		list = append(list, entry{9, "n" + n, n, 0})
	}
	for _, n := range []int{1, 20, 21, 63, 64, 300, 4000, 4090, 4096, 5000, 16383, 16384, 65536, 300_000, 1_100_000} {
		list = append(list,
			entry{9, fmt.Sprint("json ", n), string(sampleJSON(rng, n)), 0},
			entry{9, fmt.Sprint("random ", n), string(randomBytes(rng, n)), future})
	}
	return list
}

// encodeEntries writes a whole file; the entries are ordered by database.
func encodeEntries(t testing.TB, list []entry, bufSize int, opts EncoderOptions) []byte {
	t.Helper()
	e := NewEncoder(make([]byte, bufSize), opts)
	var sink bufferSink
	e.Reset(&sink)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(e.Header())
	must(e.Aux("redis-ver", "7.0.15"))
	must(e.AuxInt("redis-bits", 64))
	must(e.AuxInt("used-mem", 1<<40))
	db := -1
	for _, x := range list {
		if x.db != db {
			db = x.db
			must(e.SelectDB(db))
			must(e.ResizeDB(int64(len(list)), 2))
		}
		must(e.String([]byte(x.key), []byte(x.value), x.expireAtMs))
	}
	must(e.Footer())
	if e.Bytes() != int64(sink.Len()) || e.Err() != nil {
		t.Fatalf("Bytes is %d of %d, Err %v", e.Bytes(), sink.Len(), e.Err())
	}
	return sink.Bytes()
}

// encoderCases calls f for each way of writing.
func encoderCases(t *testing.T, f func(t *testing.T, bufSize int, opts EncoderOptions)) {
	for _, bufSize := range []int{MinEncoderBuffer, 1 << 20} {
		for _, opts := range []EncoderOptions{{}, {Compress: true, Checksum: true}, {Checksum: true, Version: 11}} {
			t.Run(fmt.Sprintf("%d/%+v", bufSize, opts), func(t *testing.T) { f(t, bufSize, opts) })
		}
	}
}

func TestRoundTrip(t *testing.T) {
	list := edgeEntries()
	encoderCases(t, func(t *testing.T, bufSize int, opts EncoderOptions) {
		file := encodeEntries(t, list, bufSize, opts)
		if sum := UpdateCRC(0, file[:len(file)-8]); opts.Checksum != bytes.Equal(file[len(file)-8:],
			[]byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24), byte(sum >> 32), byte(sum >> 40),
				byte(sum >> 48), byte(sum >> 56)}) {
			t.Fatalf("checksum %x, computed %016x", file[len(file)-8:], sum)
		}
		for _, dopts := range []DecoderOptions{{}, {BufferSize: minReadBuffer}} {
			got, aux, err := decodeEntries(bytes.NewReader(file), dopts)
			if err != nil {
				t.Fatal(err)
			}
			compareEntries(t, got, list)
			if want := "redis-ver=7.0.15 redis-bits=64 used-mem=1099511627776 "; aux != want {
				t.Errorf("metadata %q, want %q", aux, want)
			}
		}
	})
}

func compareEntries(t testing.TB, got, want []entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d keys, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("key %d: %.200q, want %.200q", i, fmt.Sprint(got[i]), fmt.Sprint(want[i]))
		}
	}
}

// failSink fails for good once limit bytes have been written.
type failSink struct {
	limit, writes int
	forgets       bool
}

var errDisk = errors.New("disk full")

func (s *failSink) Write(p []byte) error {
	if p == nil && s.forgets {
		return nil
	}
	if s.writes++; s.limit < len(p) || p == nil {
		s.limit = 0
		return errDisk
	}
	s.limit -= len(p)
	return nil
}

func TestEncoderSinkFails(t *testing.T) {
	list := edgeEntries()
	for _, forgets := range []bool{false, true} {
		for limit := 0; limit < 100_000; limit += 3777 {
			e := NewEncoder(make([]byte, MinEncoderBuffer), EncoderOptions{Compress: true, Checksum: true})
			sink := &failSink{limit: limit, forgets: forgets}
			e.Reset(sink)
			e.Header()
			var first error
			for _, x := range list {
				err := e.String([]byte(x.key), []byte(x.value), x.expireAtMs)
				if first == nil {
					first = err
				} else if err == nil {
					t.Fatal("an error is forgotten")
				}
			}
			want := errDisk
			if forgets {
				want = ErrSink
			}
			if first != errDisk || e.Footer() != want || e.Err() != want || e.Flush() != want || e.Aux("a", "b") != want {
				t.Fatalf("limit %d: %v, then %v", limit, first, e.Err())
			}
			if e.Bytes() > int64(limit)+MinEncoderBuffer {
				t.Fatalf("limit %d, %d bytes", limit, e.Bytes())
			}
			e.Reset(&countSink{})
			if err := e.Header(); err != nil || e.Bytes() != headerSize {
				t.Fatalf("after Reset: %v, %d bytes", err, e.Bytes())
			}
		}
	}
}

func TestNewEncoderPanics(t *testing.T) {
	for _, f := range []func(){
		func() { NewEncoder(make([]byte, MinEncoderBuffer-1), EncoderOptions{}) },
		func() { NewEncoder(make([]byte, MinEncoderBuffer), EncoderOptions{Version: 13}) },
		func() { NewEncoder(make([]byte, MinEncoderBuffer), EncoderOptions{Version: 6}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
}

func TestEncoderLongMetadata(t *testing.T) {
	e := NewEncoder(make([]byte, MinEncoderBuffer), EncoderOptions{Checksum: true})
	var sink bufferSink
	e.Reset(&sink)
	long := strings.Repeat("metadata ", 3000)
	if err := errors.Join(e.Header(), e.Aux(long, "v"), e.Aux("k", long), e.AuxInt(long, -5), e.Footer()); err != nil {
		t.Fatal(err)
	}
	_, aux, err := decodeEntries(&sink.Buffer, DecoderOptions{BufferSize: minReadBuffer})
	if want := long + "=v k=" + long + " " + long + "=-5 "; aux != want || err != nil {
		t.Fatalf("%v, %d bytes of metadata, want %d", err, len(aux), len(want))
	}
}

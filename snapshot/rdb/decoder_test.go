package rdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// decodeEntries reads a whole file: its keys, and its metadata as "k=v k=v ".
func decodeEntries(r io.Reader, opts DecoderOptions) (list []entry, aux string, err error) {
	return entriesOf(NewDecoder(r, opts))
}

func entriesOf(d *Decoder) (list []entry, aux string, err error) {
	var ev Event
	for {
		if err := d.Next(&ev); err != nil {
			return list, aux, err
		}
		switch ev.Kind {
		case KindKey:
			if ev.Type != TypeString {
				return list, aux, fmt.Errorf("a %v", ev.Type)
			}
			list = append(list, entry{ev.DB, string(ev.Key), string(ev.Value), ev.ExpireAtMs})
		case KindAux:
			aux += string(ev.Key) + "=" + string(ev.Value) + " "
		case KindEOF:
			if err := d.Next(&ev); err != io.EOF {
				return list, aux, fmt.Errorf("after the end: %v", err)
			}
			return list, aux, nil
		}
	}
}

// eventText writes the events of a file one a line, and the error that ends it.
func eventText(r io.Reader, opts DecoderOptions) string {
	d := NewDecoder(r, opts)
	var b strings.Builder
	for {
		var ev Event
		if err := d.Next(&ev); err != nil {
			fmt.Fprintf(&b, "error %v\n", err)
			return b.String()
		}
		switch ev.Kind {
		case KindAux:
			fmt.Fprintf(&b, "aux %q %q\n", ev.Key, ev.Value)
		case KindSelectDB:
			fmt.Fprintf(&b, "select %d\n", ev.DB)
		case KindResizeDB:
			fmt.Fprintf(&b, "resize %d %d\n", ev.Keys, ev.Expires)
		case KindMore:
			fmt.Fprintf(&b, "more %q %q\n", ev.Key, ev.Value)
		case KindKey:
			fmt.Fprintf(&b, "%s %d %q %q", ev.Type, ev.DB, ev.Key, ev.Value)
			if ev.ExpireAtMs != 0 {
				fmt.Fprintf(&b, " expire %d", ev.ExpireAtMs)
			}
			if ev.HasIdle {
				fmt.Fprintf(&b, " idle %d", ev.Idle)
			}
			if ev.HasFreq {
				fmt.Fprintf(&b, " freq %d", ev.Freq)
			}
			b.WriteByte('\n')
		case KindEOF:
			fmt.Fprintf(&b, "eof %d\n", d.Offset())
			return b.String()
		}
	}
}

// unchecked is the end of a file without a checksum.
const unchecked = "\xff\x00\x00\x00\x00\x00\x00\x00\x00"

func TestDecoder(t *testing.T) {
	sec := string(AppendExpireSec(nil, 1_700_000_000))
	for name, c := range map[string]struct{ file, want string }{
		"empty":             {"REDIS0010" + unchecked, "eof 18\n"},
		"version 1":         {"REDIS0001\xfe\x02\x00\x01a\x01b\xff", "select 2\nstring 2 \"a\" \"b\"\neof 17\n"},
		"no checksum in 4":  {"REDIS0004\xff", "eof 10\n"},
		"valkey":            {"VALKEY080\xfa\x01k\xc0\x05" + unchecked, "aux \"k\" \"5\"\neof 23\n"},
		"seconds":           {"REDIS0002" + sec + "\x00\x01a\x01b\xff", "string 0 \"a\" \"b\" expire 1700000000000\neof 20\n"},
		"expiry is per key": {"REDIS0003" + sec + "\x00\x01a\x01b\x00\x01c\x01d\xff", "string 0 \"a\" \"b\" expire 1700000000000\nstring 0 \"c\" \"d\"\neof 25\n"},
		"expiry 0":          {"REDIS0003" + string(AppendExpireMs(nil, 0)) + "\x00\x01a\x01b\xff", "string 0 \"a\" \"b\" expire 1\neof 24\n"},
		"expiry -1 is none": {"REDIS0003" + string(AppendExpireMs(nil, -1)) + "\x00\x01a\x01b\xff", "string 0 \"a\" \"b\"\neof 24\n"},
		"expiry -1 s":       {"REDIS0003" + string(AppendExpireSec(nil, -1)) + "\x00\x01a\x01b\xff", "string 0 \"a\" \"b\"\neof 20\n"},
		"idle and freq":     {"REDIS0009\xf8\x40\x64\xf9\x09\x00\x01a\x01b" + unchecked, "string 0 \"a\" \"b\" idle 100 freq 9\neof 28\n"},
		"resize":            {"REDIS0010\xfe\x00\xfb\x03\x01" + unchecked, "select 0\nresize 3 1\neof 23\n"},
		"slot info":         {"REDIS0012\xf4\x01\x02\x03\x00\x01a\x01b" + unchecked, "string 0 \"a\" \"b\"\neof 27\n"},
		"bytes behind":      {"REDIS0010" + unchecked + "more", "eof 18\n"},
		"integers":          {"REDIS0010\x00\xc0\xff\xc2\x00\x00\x00\x80" + unchecked, "string 0 \"-1\" \"-2147483648\"\neof 26\n"},
		"LZF":               {"REDIS0010\x00\x01a\xc3\x04\x04\x00a\x20\x00" + unchecked, "string 0 \"a\" \"aaaa\"\neof 28\n"},

		"nothing":           {"", "error invalid RDB: unexpected end of input at offset 0\n"},
		"no RDB":            {"<!DOCTYPE html>", "error invalid RDB: not an RDB file: it starts with \"<!DOCTYPE\" at offset 0\n"},
		"version 13":        {"REDIS0013" + unchecked, "error invalid RDB: cannot read RDB version 13 at offset 0\n"},
		"version 99":        {"REDIS0099" + unchecked, "error invalid RDB: cannot read RDB version 99 at offset 0\n"},
		"checksum":          {"REDIS0010\xff12345678", "error invalid RDB: wrong checksum: 3837363534333231 in the file, eb7ea789fe37fda9 computed at offset 10\n"},
		"checksum cut":      {"REDIS0010\xff1234", "error invalid RDB: checksum: unexpected end of input at offset 14\n"},
		"hash cut":          {"REDIS0010\x04\x03foo", "error invalid RDB: value of type \"hash\" of key \"foo\": unexpected end of input at offset 14\n"},
		"hash in Valkey":    {"VALKEY080\x16\x03foo", "error invalid RDB: value of type \"hash-2\" of key \"foo\": unexpected end of input at offset 14\n"},
		"module's value":    {"REDIS0010\x07\x40\x64" + strings.Repeat("k", 100), "error unsupported value type \"module-2\" (7) of key \"" + strings.Repeat("k", 64) + "\"… at offset 9\n"},
		"hash without key":  {"REDIS0010\x04\x05foo", "error invalid RDB: key with a value of type \"hash\": unexpected end of input at offset 14\n"},
		"unknown type":      {"REDIS0010\x64", "error invalid RDB: unknown value type or opcode 100 at offset 9\n"},
		"type 8":            {"REDIS0010\x08", "error invalid RDB: unknown value type or opcode 8 at offset 9\n"},
		"function":          {"REDIS0010\xf5\x03abc", "error unsupported function library (FUNCTION2) (245) at offset 9\n"},
		"function pre GA":   {"REDIS0010\xf6\x03abc", "error unsupported function library of a 7.0 release candidate (FUNCTION_PRE_GA) (246) at offset 9\n"},
		"slot import":       {"VALKEY080\xf3\x03abc", "error unsupported slot migration under way (SLOT_IMPORT) (243) at offset 9\n"},
		"module":            {"REDIS0010\xf7\x81\x00\x00\x00\x00\x00\x00\x00\x00", "error unsupported data of module AAAAAAAAA (MODULE_AUX) (247) at offset 9\n"},
		"module cut":        {"REDIS0010\xf7\x81", "error unsupported module data (MODULE_AUX) (247) at offset 9\n"},
		"database":          {"REDIS0010\xfe\x80\xff\xff\xff\xff", "error invalid RDB: SELECTDB: database number out of range at offset 9\n"},
		"database encoded":  {"REDIS0010\xfe\xc0\xff", "error invalid RDB: SELECTDB: string encoding where a length is expected at offset 9\n"},
		"expiry cut":        {"REDIS0010\xfc\xc0\xff", "error invalid RDB: EXPIRETIME_MS: unexpected end of input at offset 12\n"},
		"value cut":         {"REDIS0010\x00\x03foo\x0aabc", "error invalid RDB: value of type \"string\" of key \"foo\": unexpected end of input at offset 18\n"},
		"value missing":     {"REDIS0010\x00\x03foo", "error invalid RDB: value of type \"string\" of key \"foo\": unexpected end of input at offset 14\n"},
		"value too long":    {"REDIS0010\x00\x03foo\x81\x00\x00\x00\x00\x20\x00\x00\x01", "error invalid RDB: value of type \"string\" of key \"foo\": string of 536870913 bytes, the limit is 536870912 at offset 14\n"},
		"bad encoding":      {"REDIS0010\x00\x03foo\xc9", "error invalid RDB: value of type \"string\" of key \"foo\": unknown string encoding at offset 14\n"},
		"bad length":        {"REDIS0010\x00\x03foo\x83", "error invalid RDB: value of type \"string\" of key \"foo\": invalid length byte at offset 14\n"},
		"LZF bomb":          {"REDIS0010\x00\x03foo\xc3\x03\x80\x00\x10\x00\x00abc", "error invalid RDB: value of type \"string\" of key \"foo\": LZF string: 3 bytes cannot hold 1048576 at offset 14\n"},
		"LZF damaged":       {"REDIS0010\x00\x03foo\xc3\x03\x08\x20\x00\x00", "error invalid RDB: value of type \"string\" of key \"foo\": invalid LZF compressed data at offset 14\n"},
		"metadata cut":      {"REDIS0010\xfa\x03foo", "error invalid RDB: metadata \"foo\": unexpected end of input at offset 14\n"},
		"ends behind a key": {"REDIS0010\x00\x01a\x01b", "string 0 \"a\" \"b\"\nerror invalid RDB: unexpected end of input at offset 14\n"},
	} {
		if got := eventText(strings.NewReader(c.file), DecoderOptions{}); got != c.want {
			t.Errorf("%s:\n got %swant %s", name, got, c.want)
		}
		if got := eventText(iotest.OneByteReader(strings.NewReader(c.file)), DecoderOptions{}); !sameButModule(got, c.want) {
			t.Errorf("%s, a byte at a time:\n got %swant %s", name, got, c.want)
		}
	}
}

// sameButModule compares, except that the name of a module may not have been read yet.
func sameButModule(got, want string) bool {
	return got == want || strings.Contains(want, "MODULE_AUX") && strings.Contains(got, "MODULE_AUX")
}

func TestDecoderChecksum(t *testing.T) {
	file := encodeEntries(t, edgeEntries(), 1<<20, EncoderOptions{Checksum: true, Compress: true})
	damaged := bytes.Clone(file)
	damaged[len(damaged)-20] ^= 1 // in a random value
	for _, size := range []int{0, minReadBuffer} {
		_, _, err := decodeEntries(bytes.NewReader(damaged), DecoderOptions{BufferSize: size})
		var fe *FormatError
		if !errors.As(err, &fe) || !errors.Is(err, ErrFormat) || fe.Offset != int64(len(file)-8) {
			t.Errorf("damaged: %v", err)
		}
		if _, _, err := decodeEntries(bytes.NewReader(damaged), DecoderOptions{BufferSize: size, SkipChecksum: true}); err != nil {
			t.Errorf("damaged, not checked: %v", err)
		}
	}
	clear(damaged[len(damaged)-8:])
	if _, _, err := decodeEntries(bytes.NewReader(damaged), DecoderOptions{}); err != nil {
		t.Errorf("checksum off: %v", err)
	}
}

// TestDecoderCut: any part of a file ends in an error that says so, at its end.
func TestDecoderCut(t *testing.T) {
	file := encodeEntries(t, edgeEntries()[:30], MinEncoderBuffer, EncoderOptions{Checksum: true, Compress: true})
	for cut := range file {
		for _, size := range []int{0, minReadBuffer} {
			_, _, err := decodeEntries(bytes.NewReader(file[:cut]), DecoderOptions{BufferSize: size})
			var fe *FormatError
			if !errors.As(err, &fe) || fe.Offset != int64(cut) || !strings.Contains(err.Error(), "unexpected end of input") {
				t.Fatalf("cut to %d of %d bytes: %v", cut, len(file), err)
			}
		}
	}
}

func TestDecoderReaderFails(t *testing.T) {
	broken := errors.New("cable pulled")
	file := encodeEntries(t, edgeEntries(), 1<<20, EncoderOptions{Checksum: true})
	for cut := 0; cut < len(file); cut += 9999 {
		r := io.MultiReader(bytes.NewReader(file[:cut]), iotest.ErrReader(broken))
		_, _, err := decodeEntries(r, DecoderOptions{})
		if want := fmt.Sprintf("at offset %d: cable pulled", cut); !errors.Is(err, broken) || !strings.HasSuffix(err.Error(), want) {
			t.Fatalf("after %d bytes: %v", cut, err)
		}
	}
	if _, _, err := decodeEntries(stuckReader{}, DecoderOptions{}); !errors.Is(err, io.ErrNoProgress) {
		t.Fatal(err)
	}
	for _, r := range []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader} {
		if _, _, err := decodeEntries(r(bytes.NewReader(file)), DecoderOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// stuckReader neither reads nor fails.
type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

// TestDecoderManyOpcodes: what stands in front of a key may be longer than the buffer.
func TestDecoderManyOpcodes(t *testing.T) {
	file := "REDIS0010" + strings.Repeat("\xf9\x05", 10_000) + "\x00\x01a\x01b" + unchecked
	got, _, err := decodeEntries(strings.NewReader(file), DecoderOptions{BufferSize: minReadBuffer})
	if err != nil {
		t.Fatal(err)
	}
	compareEntries(t, got, []entry{{0, "a", "b", 0}})
}

// TestDecoderWaitsForNothing: the last byte of a file is enough, whatever the reader would do next.
func TestDecoderWaitsForNothing(t *testing.T) {
	file := encodeEntries(t, edgeEntries(), 1<<20, EncoderOptions{Checksum: true, Compress: true})
	tooFar := iotest.ErrReader(errors.New("read past the end"))
	for _, r := range []io.Reader{bytes.NewReader(file), iotest.OneByteReader(bytes.NewReader(file))} {
		if _, _, err := decodeEntries(io.MultiReader(r, tooFar), DecoderOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDecoderMemory: what a file claims costs nothing, only what it has.
func TestDecoderMemory(t *testing.T) {
	huge := binary.BigEndian.AppendUint32([]byte{lenByte32}, 400<<20)
	lzf := append(append([]byte{lenEncoded | encLZF}, binary.BigEndian.AppendUint32([]byte{lenByte32}, 100<<20)...), huge...)
	most := binary.BigEndian.AppendUint64([]byte{lenByte64}, math.MaxUint64)
	for name, file := range map[string]string{
		"value":               "REDIS0010\x00\x01a" + string(huge),
		"key":                 "REDIS0010\x00" + string(huge),
		"metadata":            "REDIS0010\xfa" + string(huge),
		"compressed":          "REDIS0010\x00\x01a" + string(lzf),
		"resize":              "REDIS0010\xfb" + string(most) + string(most) + "\x00\x01a" + string(huge),
		"most":                "REDIS0010\x00\x01a" + string(most),
		"hash's key":          "REDIS0010\x04" + string(huge),
		"hash":                "REDIS0010\x04\x01a" + string(most),
		"set":                 "REDIS0010\x02\x01a" + string(most) + "\x01a",
		"zset":                "REDIS0010\x05\x01a" + string(most),
		"listpack":            "REDIS0010\x10\x01a" + string(huge),
		"element":             "REDIS0010\x01\x01a" + string(most) + string(huge),
		"quicklist":           "REDIS0010\x12\x01a" + string(most) + "\x02" + string(huge),
		"compressed listpack": "REDIS0010\x10\x01a" + string(lzf),
		"stream":              "REDIS0010\x13\x01a" + string(most) + "\x10aaaaaaaaaaaaaaaa" + string(huge),
		"pending":             "REDIS0010\x13\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01g\x00\x00\x00" + string(most),
	} {
		for _, tail := range []int{0, 4, 8, 16, 32, 64, 4096, 300_000} {
			var before, after runtime.MemStats
			all := file + strings.Repeat("x", tail)
			for _, d := range []*Decoder{
				NewDecoder(strings.NewReader(all), DecoderOptions{}),
				NewChunkDecoder(&pieces{file: []byte(all), max: 1 << 20, rng: testRand()}, DecoderOptions{}),
			} {
				runtime.ReadMemStats(&before)
				var ev Event
				var err error
				for err == nil {
					err = d.Next(&ev)
				}
				runtime.ReadMemStats(&after)
				if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 || err == io.EOF {
					t.Errorf("%s: %d bytes allocated, %v", name, used, err)
				}
			}
		}
	}
}

func TestDecoderMaxString(t *testing.T) {
	for n, ok := range map[int]bool{100: true, 101: false} {
		for _, s := range []string{strings.Repeat("a", n), string(sampleJSON(testRand(), n))} {
			file := encodeEntries(t, []entry{{0, "k", s, 0}}, MinEncoderBuffer, EncoderOptions{Compress: true})
			_, _, err := decodeEntries(bytes.NewReader(file), DecoderOptions{MaxString: 100})
			if (err == nil) != ok {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	}
}

// TestDecoderSizes pairs keys and values of sizes around those where strings leave the buffer.
func TestDecoderSizes(t *testing.T) {
	sizes := []int{0, 1, 63, 64, 1000, 1023, 1024, 1025, 2048, 3000, 4090, 4095, 4096, 4097, 9000}
	rng := testRand()
	var list []entry
	for _, k := range sizes {
		for _, v := range sizes {
			list = append(list, entry{0, string(randomBytes(rng, k)), string(randomBytes(rng, v)), 0},
				entry{0, string(sampleJSON(rng, k)), string(sampleJSON(rng, v)), int64(k + 1)})
		}
	}
	for _, compress := range []bool{false, true} {
		file := encodeEntries(t, list, 64<<10, EncoderOptions{Checksum: true, Compress: compress})
		for _, size := range []int{minReadBuffer, minReadBuffer + 1, 5000, 20_000} {
			got, _, err := decodeEntries(bytes.NewReader(file), DecoderOptions{BufferSize: size})
			if err != nil {
				t.Fatal(err)
			}
			compareEntries(t, got, list)
		}
	}
}

// TestChunkDecoderSizes: the same with chunks, which a string may fill or go beyond.
func TestChunkDecoderSizes(t *testing.T) {
	sizes := []int{0, 63, 1000, ChunkRoom/4 - 1, ChunkRoom / 4, ChunkRoom/4 + 1, ChunkRoom, 3 * ChunkRoom}
	rng := testRand()
	var list []entry
	for _, k := range sizes {
		for _, v := range sizes {
			list = append(list, entry{0, string(randomBytes(rng, k)), string(randomBytes(rng, v)), 0},
				entry{0, string(sampleJSON(rng, k)), string(sampleJSON(rng, v)), int64(k + 1)},
				entry{0, strconv.Itoa(k), strconv.Itoa(-v), 0})
		}
	}
	for _, compress := range []bool{false, true} {
		file := encodeEntries(t, list, 64<<10, EncoderOptions{Checksum: true, Compress: compress})
		for _, largest := range []int{500, 20_000, 1 << 20, len(file)} {
			c := &pieces{file: file, max: largest, rng: rng}
			got, _, err := entriesOf(NewChunkDecoder(c, DecoderOptions{}))
			if err != nil {
				t.Fatal(err)
			}
			compareEntries(t, got, list)
		}
	}
}

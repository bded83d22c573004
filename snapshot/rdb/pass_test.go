package rdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
)

// pieces is a file in chunks of random lengths up to max.
type pieces struct {
	file []byte
	max  int
	rng  *rand.Rand
	last []byte
	bufs [2][]byte
}

func (p *pieces) NextChunk() (Chunk, error) {
	if len(p.file) == 0 {
		return Chunk{}, io.EOF
	}
	for i := ChunkRoom; i < len(p.last); i++ {
		p.last[i] = 0xee // the decoder has it no longer
	}
	n := min(1+p.rng.IntN(p.max), len(p.file))
	if p.bufs[0] == nil {
		p.bufs[0], p.bufs[1] = make([]byte, ChunkRoom), make([]byte, ChunkRoom)
	}
	p.bufs[0], p.bufs[1] = p.bufs[1], p.bufs[0]
	p.bufs[0] = append(p.bufs[0][:ChunkRoom], p.file[:n]...)
	p.last = p.bufs[0]
	p.file = p.file[n:]
	return Chunk{Buf: p.last, CRC: UpdateCRC(0, p.last[ChunkRoom:])}, nil
}

// outline writes the events of a file without values, and the error. Of a collection that turns out to be
// damaged nothing is written, and its pieces are one.
func outline(d *Decoder) string {
	var b strings.Builder
	open := ""
	for {
		var ev Event
		err := d.Next(&ev)
		if err != nil {
			fmt.Fprintf(&b, "error %v\n", err)
			if p := d.Place(); err != io.EOF {
				fmt.Fprintf(&b, "place %+v\n", p)
			}
			return b.String()
		}
		more := ev.More
		ev.Value, ev.More, ev.Elements, ev.Form = nil, false, 0, FormNone
		if ev.Type != TypeString {
			ev.ValueLen = 0
		}
		if ev.Kind != KindMore {
			open = fmt.Sprintf("%+v %q\n", ev, ev.Key)
		}
		if !more {
			b.WriteString(open)
		}
	}
}

// sameOutline compares all ways of reading a file.
func sameOutline(t testing.TB, file []byte, seed uint64) {
	t.Helper()
	want := outline(NewDecoder(bytes.NewReader(file), DecoderOptions{}))
	for _, size := range []int{minReadBuffer, 1 << 17} {
		got := outline(NewDecoder(bytes.NewReader(file), DecoderOptions{Values: CheckValues, BufferSize: size}))
		if got != want {
			t.Fatalf("passed over:\n%s\nassembled:\n%s", got, want)
		}
	}
	for _, values := range []Values{KeepValues, CheckValues} {
		for _, largest := range []int{3, 5000, 1 << 20} {
			c := &pieces{file: file, max: max(largest, len(file)/5000), rng: rand.New(rand.NewPCG(seed, 1))}
			if got := outline(NewChunkDecoder(c, DecoderOptions{Values: values})); got != want {
				t.Fatalf("chunks of %d, values %d:\n%s\nwant\n%s", largest, values, got, want)
			}
		}
	}
}

// mutate damages a file: it is cut, or some bytes are changed, removed or doubled.
func mutate(rng *rand.Rand, file []byte) []byte {
	file = bytes.Clone(file)
	for range 1 + rng.IntN(3) {
		if len(file) < 2 {
			break
		}
		at := rng.IntN(len(file))
		switch rng.IntN(6) {
		case 0:
			file = file[:at]
		case 1:
			file[at] ^= 1 << rng.IntN(8)
		case 2:
			file[at] = byte(rng.Uint32())
		case 3:
			file = append(file[:at], file[at+1:]...)
		case 4:
			file = append(file[:at:at], file[at/2:]...)
		case 5:
			file[at] = []byte{0, 1, 0x40, 0x80, 0x81, 0xc0, 0xc3, 0xfa, 0xfc, 0xfe, 0xff}[rng.IntN(11)]
		}
	}
	return file
}

// TestPassing: however a file is read, whole or damaged, the keys, lengths, offsets and errors are the same.
func TestPassing(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var list []entry
	for _, x := range edgeEntries() {
		if len(x.key)+len(x.value) <= 40_000 {
			list = append(list, x)
		}
	}
	files := [][]byte{encodeEntries(t, list, 1<<20, EncoderOptions{Checksum: true, Compress: true})}
	names, _ := filepath.Glob("testdata/*.rdb")
	for _, name := range names {
		if file, err := os.ReadFile(name); err == nil {
			files = append(files, file)
		}
	}
	for i, file := range files {
		sameOutline(t, file, uint64(i))
		for range 60 / (1 + len(file)/2000) {
			sameOutline(t, mutate(rng, file), uint64(i))
		}
	}
	big := encodeEntries(t, edgeEntries(), 1<<20, EncoderOptions{Checksum: true, Compress: true})
	sameOutline(t, big, 1)
	sameOutline(t, big[:len(big)/2], 2)
}

// TestAllTypes: a file with every type that redis-server writes is read to its end, and each part of it
// ends in an error at its end.
func TestAllTypes(t *testing.T) {
	names, _ := filepath.Glob("testdata/*.rdb")
	found := map[Type]bool{}
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		checkAllTypes(t, file, found)
	}
	for _, typ := range []Type{TypeString, TypeHash, TypeHashListpack, TypeListQuicklist2, TypeSet, TypeSetIntset,
		TypeZset2, TypeZsetListpack, TypeStreamListpacks2} {
		if !found[typ] {
			t.Errorf("no %v", typ)
		}
	}
}

func checkAllTypes(t *testing.T, file []byte, found map[Type]bool) {
	t.Helper()
	opts := DecoderOptions{Values: CheckValues, AllTypes: true, BufferSize: minReadBuffer}
	for cut := len(file); cut >= 0; cut -= 1 + len(file)*len(file)/10_000_000 {
		d := NewDecoder(bytes.NewReader(file[:cut]), opts)
		var ev Event
		err := error(nil)
		for err == nil {
			if err = d.Next(&ev); err == nil && ev.Kind == KindKey {
				found[ev.Type] = true
			}
		}
		var fe *FormatError
		switch {
		case cut == len(file) && err != io.EOF:
			t.Fatalf("whole: %v", err)
		case cut < len(file) && (!errors.As(err, &fe) || fe.Offset != int64(cut)):
			t.Fatalf("cut to %d: %v", cut, err)
		}
	}
}

// TestAllTypesOracle has redis-server fill a file with larger values of all types.
func TestAllTypesOracle(t *testing.T) {
	dir := t.TempDir()
	c := startRedis(t, dir, "--hash-max-listpack-entries", "3", "--list-max-listpack-size", "4", "--set-max-intset-entries", "5",
		"--stream-node-max-entries", "3")
	want := 0
	for _, typ := range []string{"list", "set", "zset", "hash"} {
		for _, n := range []int{1, 20, 200} {
			do(t, c, "EVAL", `for i = 1, ARGV[2] do
				local k, v = ARGV[1] .. ARGV[2], i .. string.rep('x', i % 60)
				if ARGV[1] == 'list' then redis.call('RPUSH', k, v)
				elseif ARGV[1] == 'set' then redis.call('SADD', k, v)
				elseif ARGV[1] == 'zset' then redis.call('ZADD', k, i * 1.5, v)
				else redis.call('HSET', k, v, v .. v) end end`, 0, typ, n)
			want++
		}
	}
	for i := range 20 {
		do(t, c, "XADD", "stream", fmt.Sprint(i+1, "-1"), "field", i)
	}
	do(t, c, "XDEL", "stream", "3-1")
	for g := range 3 {
		do(t, c, "XGROUP", "CREATE", "stream", fmt.Sprint("g", g), "0")
		for i := range 4 {
			do(t, c, "XREADGROUP", "GROUP", fmt.Sprint("g", g), fmt.Sprint("c", i), "COUNT", 2, "STREAMS", "stream", ">")
		}
	}
	do(t, c, "RPUSH", "large", strings.Repeat("l", 100_000), "y")
	want += 2
	if _, err := redis.String(c.Do("SAVE")); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	checkAllTypes(t, file, map[Type]bool{})
	d := NewChunkDecoder(&pieces{file: file, max: 99, rng: rand.New(rand.NewPCG(1, 1))},
		DecoderOptions{Values: CheckValues, AllTypes: true})
	keys := 0
	var ev Event
	for err = nil; err == nil; err = d.Next(&ev) {
		if ev.Kind == KindKey {
			keys++
		}
	}
	if err != io.EOF || keys != want {
		t.Errorf("%d keys of %d, %v", keys, want, err)
	}
}

// TestFormsOfOtherServers: value types that redis-server 7.0 does not write.
func TestFormsOfOtherServers(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		keys int
	}{
		"zset in text":        {"REDIS0003\x03\x01k\x03\x01a\x031.5\x01b\xfd\x01c\xfe\xff", 1},
		"quicklist":           {"REDIS0006\x0e\x01k\x02\x03abc\x03abc" + unchecked, 1},
		"Valkey's hash":       {"VALKEY080\x16\x01k\x01\x01f\x01v12345678" + unchecked, 1},
		"hash pre GA":         {"REDIS0012\x16\x01k\x01\x05\x01f\x01v" + unchecked, 1},
		"hash with expiry":    {"REDIS0012\x1812345678" /* wrong on purpose: the key is missing */ + unchecked, -1},
		"hash with expiry 2":  {"REDIS0012\x18\x01k12345678\x01\x05\x01f\x01v" + unchecked, 1},
		"hash listpack ex":    {"REDIS0012\x19\x01k12345678\x03abc" + unchecked, 1},
		"module":              {"REDIS0010\x07\x01k\x81abcdefgh\x01\x05\x02\x06\x03abcd\x04abcdefgh\x05\x03abc\x00" + unchecked, 1},
		"module, bad code":    {"REDIS0010\x07\x01k\x81abcdefgh\x06\x00" + unchecked, -1},
		"module data":         {"REDIS0010\xf7\x81abcdefgh\x02\x01\x05\x03abc\x00" + unchecked, 0},
		"stream of version 3": {"REDIS0011\x15\x01k\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01g\x00\x00\x00\x01abcdefghijklmnop12345678\x01\x01\x01c1234567812345678\x01abcdefghijklmnop" + unchecked, 1},
		"module pre GA":       {"REDIS0010\x06\x01k\x00" + unchecked, -1},
	} {
		d := NewDecoder(strings.NewReader(c.file), DecoderOptions{Values: PassValues, AllTypes: true})
		keys := 0
		var ev Event
		err := d.Next(&ev)
		for ; err == nil; err = d.Next(&ev) {
			if ev.Kind == KindKey {
				keys++
			}
		}
		if c.keys < 0 {
			if err == io.EOF {
				t.Errorf("%s: no error", name)
			}
		} else if err != io.EOF || keys != c.keys || d.Offset() != int64(len(c.file)) {
			t.Errorf("%s: %d keys, %v", name, keys, err)
		}
	}
}

// TestLZFChecker: it finds what DecompressLZF finds.
func TestLZFChecker(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	bad := 0
	for range 30_000 {
		s := sampleJSON(rng, 30+rng.IntN(600))
		dst := make([]byte, len(s)*2)
		p := dst[:CompressLZF(dst, s, new(LZFTable))]
		length := len(s)
		if rng.IntN(4) > 0 {
			p = mutate(rng, p)
		} else if rng.IntN(4) == 0 {
			length += rng.IntN(3) - 1
		}
		sameVerdict(t, p, length, rng.IntN(len(p)+1), &bad)
	}
	if bad < 1000 {
		t.Errorf("only %d were damaged", bad)
	}
}

func sameVerdict(t *testing.T, p []byte, length, split int, bad *int) {
	t.Helper()
	c := lzfChecker{length: length}
	c.feed(p[:split])
	c.feed(p[split:])
	want := DecompressLZF(make([]byte, length), p) == nil
	if !want {
		*bad++
	}
	if c.ok() != want {
		t.Fatalf("%x to %d bytes, split at %d: %v, want %v", p, length, split, c.ok(), want)
	}
}

// FuzzPassing: see TestPassing.
func FuzzPassing(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.rdb")
	for _, name := range names {
		if p, err := os.ReadFile(name); err == nil && len(p) < 4<<10 {
			f.Add(p, uint64(1))
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, seed uint64) {
		if len(file) > 1<<15 {
			return
		}
		sameOutline(t, file, seed)
		d := NewDecoder(bytes.NewReader(file), DecoderOptions{Values: CheckValues, AllTypes: true, BufferSize: minReadBuffer})
		var ev Event
		for d.Next(&ev) == nil {
		}
	})
}

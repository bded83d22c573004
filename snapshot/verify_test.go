package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// randomDump is a file of n random keys in three databases, as bytes.
func randomDump(rng *rand.Rand, n int, o rdb.EncoderOptions) []byte {
	sink := &bytesSink{}
	e := rdb.NewEncoder(make([]byte, 1<<16), o)
	e.Reset(sink)
	e.Header()
	e.Aux("redis-ver", redisVersion)
	e.AuxInt("ctime", 1_700_000_000)
	for db := range 3 {
		e.SelectDB(db * 2)
		e.ResizeDB(int64(n), 0)
		for i := range n / 3 {
			e.String(fmt.Append(nil, "key:", db, ":", i), randomValue(rng), []int64{0, 1, 0, 99_999_999_999_999}[rng.IntN(4)])
		}
	}
	e.Footer()
	return sink.b
}

func randomValue(rng *rand.Rand) []byte {
	switch rng.IntN(4) {
	case 0:
		return fmt.Append(nil, int64(rng.Uint64())>>rng.IntN(64))
	case 1:
		return bytes.Repeat([]byte{'a', byte(rng.Uint32())}, rng.IntN(400))
	}
	value := make([]byte, rng.IntN(300))
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	return value
}

// damage cuts a file or changes some bytes of it.
func damage(rng *rand.Rand, file []byte) []byte {
	file = bytes.Clone(file)
	for range 1 + rng.IntN(2) {
		at := rng.IntN(len(file))
		switch rng.IntN(5) {
		case 0:
			file = file[:at+1]
		case 1:
			file[at] ^= 1 << rng.IntN(8)
		case 2:
			file[at] = byte(rng.Uint32())
		case 3:
			file = append(file[:at], file[at+1:]...)
			file = append(file, 0)
		case 4:
			clear(file[at:min(at+rng.IntN(100), len(file))])
		}
	}
	return file
}

// offsetOf returns where an error is, -1 if it does not say.
func offsetOf(err error) int64 {
	var fe *rdb.FormatError
	var ue *rdb.UnsupportedError
	switch {
	case errors.As(err, &fe):
		return fe.Offset
	case errors.As(err, &ue):
		return ue.Offset
	}
	return -1
}

// foundByStore tells whether it is the store that finds this when a file is loaded.
func foundByStore(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "duplicate ") || strings.Contains(err.Error(), "stream "))
}

// asLoad compares Verify with Load.
func asLoad(t testing.TB, dir string, file []byte) (failed bool) {
	t.Helper()
	path := filepath.Join(dir, "dump.rdb")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := kv.Open(kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, noSum := range []bool{false, true} {
		tx := s.NewTx()
		tx.LockAll()
		tx.FlushAll()
		tx.Unlock()
		res, want := Load(context.Background(), s, path, LoadOptions{NoChecksum: noSum})
		rep, err := VerifyFile(context.Background(), path, VerifyOptions{Full: true, Unique: true, NoChecksum: noSum,
			Databases: s.Databases()})
		var dup, db = new(*DuplicateError), new(*DatabaseError)
		same := (err == nil) == (want == nil) && offsetOf(err) == offsetOf(want)
		if errors.As(want, dup) || errors.As(err, dup) { // Load finds it late, when it may have met something worse
			same = err != nil && want != nil
		}
		// What the store finds, Load finds late too, and does not know the place.
		if foundByStore(want) || foundByStore(err) {
			same = errors.Is(err, rdb.ErrFormat) && errors.Is(want, rdb.ErrFormat)
		}
		if errors.As(want, db) {
			same = errors.As(err, db)
		}
		if !same {
			t.Fatalf("checksum off: %v\nverify: %v\nload:   %v", noSum, err, want)
		}
		if err == nil && (rep.Keys-rep.Expired-rep.Empty != res.Keys || rep.Expired != res.Expired || rep.Bytes != res.Bytes ||
			rep.Version != res.Version) {
			t.Fatalf("verify: %+v\nload: %+v", rep, res)
		}
		failed = failed || err != nil
	}
	return failed
}

// TestVerifyAsLoad: Verify accepts what Load accepts and fails where it fails, on files of Redis, random
// ones and damaged ones.
func TestVerifyAsLoad(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	dir := t.TempDir()
	names, _ := filepath.Glob("rdb/testdata/*.rdb")
	if len(names) < 10 {
		t.Fatal("no golden files")
	}
	var files [][]byte
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	for _, o := range []rdb.EncoderOptions{{}, {Checksum: true}, {Checksum: true, Compress: true}} {
		files = append(files, randomDump(rng, 60, o))
	}
	rounds, failed := 8, 0
	if os.Getenv("KVD_LONG") == "1" {
		rounds = 400
	}
	for _, file := range files {
		asLoad(t, dir, file)
		asLoad(t, dir, append(bytes.Clone(file), "behind the end"...))
		for range max(1, rounds/(1+len(file)/8000)) {
			if asLoad(t, dir, damage(rng, file)) {
				failed++
			}
		}
	}
	if failed < 30 {
		t.Errorf("only %d of the damaged files were refused", failed)
	}
}

func TestVerifyReport(t *testing.T) {
	s := openStore(t, kv.Options{})
	s.SetActiveExpire(false) // a quarter of them has expired
	for i := range 5000 {
		set(t, s, i%2*3, fmt.Sprint("k", i), strings.Repeat("v", i%100), []int64{0, 0, 1, 1 << 50}[i%4])
	}
	path := filepath.Join(t.TempDir(), "dump.rdb")
	res, err := Save(context.Background(), s, path, Options{Engine: Thread})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var seen []int64
	expect := &Expectation{Keys: 5000, Bytes: res.Bytes}
	rep, err := Verify(context.Background(), f, res.Bytes, VerifyOptions{Expect: expect, FromDisk: true, Full: true,
		Progress: func(n, _ int64) { seen = append(seen, n) }})
	if err != nil || rep.Keys != 5000 || rep.Expires != 2500 || rep.Expired != 1250 || !rep.Checksum || rep.Bytes != res.Bytes ||
		len(rep.Databases) != 2 || rep.Databases[1].DB != 3 || rep.Databases[1].Keys != 2500 || rep.Took <= 0 ||
		len(rep.Types) != 1 || rep.Types[0].Keys != 5000 || rep.ValueBytes != 5000*99/2 || len(rep.Aux) < 4 {
		t.Errorf("%+v %v", rep, err)
	}
	if len(seen) == 0 || seen[len(seen)-1] != res.Bytes {
		t.Errorf("progress %v", seen)
	}
	expect.Keys++
	_, err = Verify(context.Background(), f, res.Bytes, VerifyOptions{Expect: expect})
	var mis *MismatchError
	if !errors.As(err, &mis) || err.Error() != "the cut had 5001 keys, the file has 5000" {
		t.Error(err)
	}
	_, err = Verify(context.Background(), f, res.Bytes, VerifyOptions{Expect: &Expectation{Keys: 5000, Bytes: 1}})
	if !errors.As(err, &mis) || mis.What != "bytes" {
		t.Error(err)
	}
	rep, err = Verify(context.Background(), f, res.Bytes-100, VerifyOptions{})
	if !errors.Is(err, rdb.ErrFormat) || rep.Failed == nil || !strings.HasPrefix(rep.Failed.Doing, "read-") || rep.Keys < 4900 || rep.Bytes != res.Bytes-100 {
		t.Errorf("cut off: %+v %v", rep, err)
	}
	twice := []byte("REDIS0003\xfe\x02\x00\x01a\x01b\x00\x01a\x01c\xff")
	var dup *DuplicateError
	_, err = Verify(context.Background(), bytes.NewReader(twice), int64(len(twice)), VerifyOptions{Unique: true})
	if !errors.As(err, &dup) || string(dup.Key) != "a" || dup.DB != 2 {
		t.Error(err)
	}
	if _, err = Verify(context.Background(), bytes.NewReader(twice), int64(len(twice)), VerifyOptions{}); err != nil {
		t.Error(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if _, err := Verify(ctx, f, res.Bytes, VerifyOptions{}); !errors.Is(err, cause) {
		t.Error(err)
	}
	if _, err := VerifyFile(context.Background(), filepath.Dir(path), VerifyOptions{}); err == nil {
		t.Error("a directory is verified")
	}
}

// brokenReader fails from an offset on.
type brokenReader struct {
	b  []byte
	at int64
}

var errBroken = errors.New("cable pulled")

func (r *brokenReader) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > r.at {
		n := copy(p, r.b[min(off, r.at):r.at])
		return n, errBroken
	}
	return copy(p, r.b[off:]), nil
}

// A file of several chunks, with any number of threads; one that becomes shorter, and one that cannot be
// read to its end.
func TestVerifyChunks(t *testing.T) {
	sink := &bytesSink{}
	e := rdb.NewEncoder(make([]byte, 1<<16), rdb.EncoderOptions{Checksum: true})
	e.Reset(sink)
	e.Header()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		value := make([]byte, rng.IntN(30_000))
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		e.String(fmt.Append(bytes.Repeat([]byte("k"), rng.IntN(100)), i), value, 0)
	}
	e.String([]byte("big"), bytes.Repeat([]byte("0123456789"), 500_000), 0)
	e.Footer()
	size := int64(len(sink.b))
	for threads := range 5 {
		o := VerifyOptions{Threads: threads, Full: threads%2 == 0}
		rep, err := Verify(context.Background(), bytes.NewReader(sink.b), size, o)
		if err != nil || rep.Keys != 401 || rep.Bytes != size {
			t.Errorf("%d threads: %+v %v", threads, rep, err)
		}
		for _, at := range []int64{0, 1 << 20, 1<<20 + 1, 5_000_000, size - 1} {
			_, err = Verify(context.Background(), bytes.NewReader(sink.b[:at]), size, o)
			if !errors.Is(err, rdb.ErrFormat) || offsetOf(err) != at {
				t.Errorf("%d threads, %d bytes: %v", threads, at, err)
			}
			_, err = Verify(context.Background(), &brokenReader{sink.b, at}, size, o)
			if !errors.Is(err, errBroken) {
				t.Errorf("%d threads, broken at %d: %v", threads, at, err)
			}
		}
	}
}

// Keys with the same hash are told apart, and the same key in two databases is no duplicate.
func TestKeySetCollisions(t *testing.T) {
	file := randomDump(rand.New(rand.NewPCG(3, 3)), 300, rdb.EncoderOptions{})
	s := newKeySet(bytes.NewReader(file))
	d := rdb.NewDecoder(bytes.NewReader(file), rdb.DecoderOptions{})
	var ev rdb.Event
	for d.Next(&ev) == nil {
		if ev.Kind != rdb.KindKey {
			continue
		}
		for i, want := range []bool{false, true} {
			if twice, err := s.addHash(1, &ev, 10); twice != want || err != nil {
				t.Fatalf("%q, time %d: %v %v", ev.Key, i, twice, err)
			}
		}
		ev.DB++
		if twice, err := s.addHash(1, &ev, 10); twice || err != nil {
			t.Fatalf("%q in another database: %v %v", ev.Key, twice, err)
		}
	}
}

// TestVerifyAllTypes: the files that Load refuses are counted.
func TestVerifyAllTypes(t *testing.T) {
	rep, err := VerifyFile(context.Background(), "rdb/testdata/stream.rdb", VerifyOptions{AllTypes: true, Full: true})
	if err != nil || rep.Keys != 1 || rep.Refused != 0 || rep.Types[0].Type != rdb.TypeStreamListpacks2 || !rep.Checksum ||
		rep.FirstRefused != nil {
		t.Errorf("%+v %v", rep, err)
	}
	rep, err = VerifyFile(context.Background(), "rdb/testdata/function.rdb", VerifyOptions{AllTypes: true})
	if err != nil || rep.Others != 1 || rep.FirstRefused == nil {
		t.Errorf("%+v %v", rep, err)
	}
}

func FuzzVerify(f *testing.F) {
	names, _ := filepath.Glob("rdb/testdata/*.rdb")
	for _, name := range names {
		if file, err := os.ReadFile(name); err == nil && len(file) < 4<<10 {
			f.Add(file)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 1<<14 {
			return
		}
		now := time.UnixMilli(1_700_000_000_000)
		d := rdb.NewDecoder(iotest.HalfReader(bytes.NewReader(file)), rdb.DecoderOptions{})
		keys := int64(0)
		var ev rdb.Event
		var want error
		for want == nil {
			if want = d.Next(&ev); want == nil && ev.Kind == rdb.KindKey {
				keys++
			}
		}
		rep, err := Verify(context.Background(), bytes.NewReader(file), int64(len(file)), VerifyOptions{Full: true, Now: now})
		if (err == nil) != (want == io.EOF) || offsetOf(err) != offsetOf(want) || rep.Keys != keys {
			t.Fatalf("%d keys, %v; decoder: %d keys, %v", rep.Keys, err, keys, want)
		}
		Verify(context.Background(), bytes.NewReader(file), int64(len(file)), VerifyOptions{AllTypes: true, Unique: true})
	})
}

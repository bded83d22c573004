package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// record is a key of a file, and where it stands.
type record struct {
	place
	item
	from, to int64
}

// records reads a sound file.
func records(t testing.TB, file []byte) (list []record) {
	t.Helper()
	d := rdb.NewDecoder(bytes.NewReader(file), rdb.DecoderOptions{})
	var ev rdb.Event
	for {
		err := d.Next(&ev)
		if err != nil {
			t.Fatal(err)
		}
		switch ev.Kind {
		case rdb.KindKey:
			list = append(list, record{place{ev.DB, string(ev.Key)}, item{string(ev.Value), ev.ExpireAtMs}, ev.Start, d.Offset()})
		case rdb.KindEOF:
			return list
		}
	}
}

// repaired repairs a file in dir and returns what is in the new one, which must load.
func repaired(t testing.TB, dir string, file []byte) (RepairReport, []record, error) {
	t.Helper()
	in, out := filepath.Join(dir, "in.rdb"), filepath.Join(dir, "out.rdb")
	if err := os.WriteFile(in, file, 0o600); err != nil {
		t.Fatal(err)
	}
	rep, err := Repair(context.Background(), in, out, RepairOptions{Force: true})
	if err == nil && rep.Refused+rep.Others > 0 { // or what looks like that, in a damaged file
		redis := rep.Keys + rep.Others
		rep, err = Repair(context.Background(), in, out, RepairOptions{Force: true, DropRefused: true})
		if err == nil && rep.Keys+rep.Dropped < redis || rep.Whole() {
			t.Errorf("%d were there: %+v", redis, rep)
		}
	}
	if after, e := os.ReadFile(in); e != nil || !bytes.Equal(after, file) {
		t.Fatal("the damaged file was changed")
	}
	noTemps(t, dir)
	if err != nil {
		return rep, nil, err
	}
	s, err := kv.Open(kv.Options{Databases: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	made, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Load(context.Background(), s, out, LoadOptions{})
	var db *DatabaseError
	switch {
	case errors.As(err, &db): // a number that was damaged
	case err != nil:
		t.Fatalf("the repaired file: %v\n%+v", err, rep)
	case res.Keys+res.Expired != rep.Keys || int64(len(made)) != rep.Bytes:
		t.Fatalf("%d keys and %d expired of %+v", res.Keys, res.Expired, rep)
	}
	return rep, records(t, made), nil
}

// strangers returns how many records of got are not in want.
func strangers(got, want []record) (n int) {
	have := map[place]item{}
	for _, r := range want {
		have[r.place] = r.item
	}
	for _, r := range got {
		if it, ok := have[r.place]; !ok || it != r.item {
			n++
		}
	}
	return n
}

// startsWith fails unless got begins with the records of want that end at or before the offset.
func startsWith(t testing.TB, got, want []record, offset int64) {
	t.Helper()
	for i, w := range want {
		if w.to > offset {
			return
		}
		if i >= len(got) || got[i].place != w.place || got[i].item != w.item {
			t.Fatalf("record %d, which ends at %d in front of the damage at %d, is not kept", i, w.to, offset)
		}
	}
}

// redisAccepts has redis-check-rdb look at a file.
func redisAccepts(t testing.TB, path string) {
	t.Helper()
	if check, err := exec.LookPath("redis-check-rdb"); err == nil {
		if out, err := exec.Command(check, path).CombinedOutput(); err != nil {
			t.Fatalf("redis-check-rdb: %v\n%s", err, out)
		}
	} else {
		oracle(t, "redis-check-rdb")
	}
}

// TestRepairTruncated: all whole keys are kept, and nothing else.
func TestRepairTruncated(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	file := randomDump(rng, 300, rdb.EncoderOptions{Checksum: true, Compress: true})
	want := records(t, file)
	dir := t.TempDir()
	for i := range 100 {
		cut := 9 + rng.IntN(len(file)-9)
		rep, got, err := repaired(t, dir, file[:cut])
		if err != nil || rep.Whole() {
			t.Fatalf("cut to %d: %+v %v", cut, rep, err)
		}
		startsWith(t, got, want, int64(cut))
		if n := len(got); n > 0 && want[n-1].to > int64(cut) || strangers(got, want) > 0 {
			t.Fatalf("cut to %d: %d keys", cut, n)
		}
		if i%25 == 0 {
			redisAccepts(t, filepath.Join(dir, "out.rdb"))
		}
	}
	for cut := range 9 {
		if _, _, err := repaired(t, dir, file[:cut]); !errors.Is(err, ErrNothing) {
			t.Errorf("cut to %d: %v", cut, err)
		}
	}
}

// TestRepairFlipped: one changed byte, wherever it stands, is put right by the checksum.
func TestRepairFlipped(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	file := randomDump(rng, 300, rdb.EncoderOptions{Checksum: true, Compress: true})
	dir := t.TempDir()
	want := records(t, file)
	for i := range 100 {
		bad := bytes.Clone(file)
		at := rng.IntN(len(file))
		if i < 20 {
			at = []int{0, 5, 8, 9, len(file) - 9, len(file) - 8, len(file) - 1}[i%7]
		}
		bad[at] ^= byte(1 << rng.IntN(8))
		rep, got, err := repaired(t, dir, bad)
		if err != nil || !rep.Whole() || rep.Mended == nil || rep.Mended.Offset != int64(at) || rep.Mended.Is[0] != file[at] ||
			rep.Mended.Was[0] != bad[at] {
			t.Fatalf("byte %d: %+v %v", at, rep, err)
		}
		if len(got) != len(want) || strangers(got, want) > 0 {
			t.Fatalf("byte %d: %d keys of %d", at, len(got), len(want))
		}
		if i%25 == 0 {
			redisAccepts(t, filepath.Join(dir, "out.rdb"))
		}
	}
}

// TestRepairDamaged: what stands in front of the first change is kept whatever happens, and of what is
// behind it hardly anything is wrong.
func TestRepairDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	dir := t.TempDir()
	rounds := 40
	if os.Getenv("KVD_LONG") == "1" {
		rounds = 2000
	}
	for i := range rounds {
		file := randomDump(rng, 240, rdb.EncoderOptions{Checksum: i%2 == 0, Compress: i%3 == 0})
		want := records(t, file)
		bad := bytes.Clone(file)
		first := len(bad)
		for range 2 + rng.IntN(4) {
			at := 9 + rng.IntN(len(bad)-9)
			bad[at] ^= byte(1 + rng.IntN(255))
			first = min(first, at)
		}
		rep, got, err := repaired(t, dir, bad)
		if err != nil {
			t.Fatal(err)
		}
		startsWith(t, got, want, int64(first))
		// Each change may spoil a record, and what follows until the next is found.
		if n := strangers(got, want); n > 12 {
			t.Errorf("%d of %d kept keys are wrong; %+v", n, len(got), rep)
		}
		if i%2 == 0 && rep.Whole() {
			t.Errorf("it is called whole: %+v", rep)
		}
		if i%20 == 0 {
			redisAccepts(t, filepath.Join(dir, "out.rdb"))
		}
	}
}

// bigDump has n random keys in one database, or more.
func bigDump(rng *rand.Rand, n, dbs int) []byte {
	sink := &bytesSink{}
	e := rdb.NewEncoder(make([]byte, 1<<16), rdb.EncoderOptions{Checksum: true, Compress: true})
	e.Reset(sink)
	e.Header()
	for db := range dbs {
		e.SelectDB(db)
		e.ResizeDB(int64(n/dbs), 0)
		for i := range n / dbs {
			e.String(fmt.Append(nil, "key:", db, ":", i), randomValue(rng), 0)
		}
	}
	e.Footer()
	return sink.b
}

// TestRepairMiddle: behind a lost sector reading goes on, in the right database, and no key is wrong.
func TestRepairMiddle(t *testing.T) {
	rng := rand.New(rand.NewPCG(27, 28))
	dir := t.TempDir()
	for i := range 12 {
		dbs := 1 + i%2*2
		file := bigDump(rng, 9000, dbs)
		want := records(t, file)
		bad := bytes.Clone(file)
		at, size := 20_000+rng.IntN(len(file)*2/3), 4096 // near the end it might have been the end of the database
		sector := bad[at : at+size]
		switch i % 3 {
		case 0:
			clear(sector)
		case 1:
			for j := range sector {
				sector[j] = byte(rng.Uint32())
			}
		case 2: // a part of the file in the wrong place
			copy(sector, file[at-10_000:])
		}
		rep, got, err := repaired(t, dir, bad)
		if err != nil || rep.Whole() {
			t.Fatalf("%+v %v", rep, err)
		}
		startsWith(t, got, want, int64(at))
		// What is in the sector may look like keys, but nothing behind it.
		if n := strangers(got, want); n > 2 {
			t.Errorf("%d: %d of %d kept keys are wrong", i, n, len(got))
		}
		lost := len(want) - len(got)
		if dbs == 1 && lost > 200 {
			t.Errorf("%d: %d of %d keys are lost: %+v", i, lost, len(want), rep.Lost)
		}
		if dbs == 3 && at < len(file)/4 && lost > len(want)/2 {
			t.Errorf("%d: %d of %d keys are lost though databases follow: %+v", i, lost, len(want), rep.Lost)
		}
	}
}

// TestResyncIsCertain: where reading goes on a record begins, behind the damage, whatever that is.
func TestResyncIsCertain(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	found := 0
	for i := range 36 {
		file := bigDump(rng, 3000, 1)
		starts := map[int64]bool{}
		for _, r := range records(t, file) {
			starts[r.from] = true
		}
		at, size := 20_000+rng.IntN(len(file)/2), 1+rng.IntN(8000)
		sector := file[at : at+size]
		switch i % 4 {
		case 0:
			clear(sector)
		case 1:
			for j := range sector {
				sector[j] = byte(rng.Uint32())
			}
		case 2: // many short records, of which one would not know where they end
			copy(sector, bytes.Repeat([]byte("\x00\x00\x00"), size/3))
		case 3:
			copy(sector, file[at-10_000:])
		}
		s := newScan(bytes.NewReader(file), int64(len(file)), RepairOptions{Now: time.Now()})
		err := s.whole(context.Background())
		from := s.dec.Place().Start
		if !s.isDamage(err) || errors.Is(err, rdb.ErrChecksum) {
			continue // it looks like records
		}
		next, ok, err := s.resync(context.Background(), from)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			found++
			if !starts[next] {
				t.Errorf("%d: %d bytes at %d damaged, found at %d, goes on at %d, where no record begins", i, size, at, from, next)
			}
		}
	}
	if found < 24 {
		t.Errorf("found the way back %d times only", found)
	}
}

// TestResyncEmbedded: records inside a value are none, though they are many in a row.
func TestResyncEmbedded(t *testing.T) {
	var inner []byte
	for i := range 200 {
		inner = append(inner, byte(rdb.TypeString))
		inner = rdb.AppendString(rdb.AppendString(inner, fmt.Append(nil, "inner", i), nil), []byte("v"), nil)
	}
	sink := &bytesSink{}
	e := rdb.NewEncoder(make([]byte, 1<<16), rdb.EncoderOptions{})
	e.Reset(sink)
	e.Header()
	e.SelectDB(0)
	e.ResizeDB(1000, 0)
	for i := range 100 {
		value := []byte("value")
		if i == 5 {
			value = inner
		}
		e.String(fmt.Append(nil, "outer", i), value, 0)
	}
	e.Footer()
	list := records(t, sink.b)
	sink.b[list[2].from] = 0x99
	s := newScan(bytes.NewReader(sink.b), int64(len(sink.b)), RepairOptions{Now: time.Now()})
	if err := s.whole(context.Background()); !s.isDamage(err) {
		t.Fatal(err)
	}
	at, ok, err := s.resync(context.Background(), list[2].from)
	for _, r := range list[3:] {
		if r.from == at {
			return
		}
	}
	t.Errorf("goes on at %d, %v %v; the large value is at %d … %d", at, ok, err, list[5].from, list[5].to)
}

// TestRepairDatabases: where a change of the database is lost, no key gets into a wrong one.
func TestRepairDatabases(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	const blocks, keys = 6, 60
	for k := 1; k < blocks; k++ {
		sink := &bytesSink{}
		e := rdb.NewEncoder(make([]byte, 1<<16), rdb.EncoderOptions{Checksum: true})
		e.Reset(sink)
		e.Header()
		border := int64(0)
		for b := range blocks {
			if b == k {
				border = e.Bytes()
			}
			e.SelectDB(b % 2)
			if b < 2 {
				e.ResizeDB(1_000_000, 0) // far more than can be in the damaged part
			}
			for i := range keys {
				e.String(fmt.Append(nil, "key:", b, ":", i), randomValue(rng), 0)
			}
		}
		e.Footer()
		want := records(t, sink.b)
		for i := border - 3; i < border+20; i++ {
			sink.b[i] = byte(0x80 | rng.Uint32())
		}
		rep, got, err := repaired(t, t.TempDir(), sink.b)
		if err != nil || strangers(got, want) > 1 {
			t.Errorf("block %d: %d of %d keys are wrong: %+v %v", k, strangers(got, want), len(got), rep, err)
		}
		if k < blocks-2 && len(got) < (k+blocks-k-2)*keys {
			t.Errorf("block %d: %d keys kept: %+v", k, len(got), rep)
		}
	}
}

// TestRepairRefuses: the file itself, an existing one, and what is no file.
func TestRepairRefuses(t *testing.T) {
	dir := t.TempDir()
	in, out, link := filepath.Join(dir, "in"), filepath.Join(dir, "out"), filepath.Join(dir, "link")
	file := randomDump(rand.New(rand.NewPCG(1, 1)), 30, rdb.EncoderOptions{Checksum: true})
	for _, path := range []string{in, out} {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(in, link); err != nil {
		t.Fatal(err)
	}
	try := func(in, out string, force bool) error {
		_, err := Repair(context.Background(), in, out, RepairOptions{Force: force})
		return err
	}
	for _, force := range []bool{false, true} {
		for _, same := range []string{in, link, filepath.Join(dir, ".", "in")} {
			if err := try(in, same, force); !errors.Is(err, os.ErrExist) {
				t.Errorf("onto %s: %v", same, err)
			}
		}
	}
	if err := try(in, out, false); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	if err := try(in, out, true); err != nil {
		t.Error(err)
	}
	if err := try(filepath.Join(dir, "none"), out, true); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := try(dir, filepath.Join(dir, "x"), true); err == nil {
		t.Error("a directory is repaired")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Repair(ctx, in, out, RepairOptions{Force: true}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got, _ := os.ReadFile(in); !bytes.Equal(got, file) {
		t.Error("the input has changed")
	}
	noTemps(t, dir)
}

// A key that is in a file twice is kept once; what kvd does not hold is kept too; so is the version.
func TestRepairOdd(t *testing.T) {
	dir := t.TempDir()
	twice := "REDIS0003\xfe\x02\x00\x01a\x01b\x00\x01a\x01c\x00\x01d\x01e\xff"
	rep, got, err := repaired(t, dir, []byte(twice))
	if err != nil || rep.Duplicates != 1 || rep.Whole() || len(got) != 2 || got[0].value != "b" || rep.Version != 3 {
		t.Errorf("%+v %v %v", rep, got, err)
	}
	for _, name := range []string{"stream", "list", "function", "zset", "lru", "plain", "empty"} {
		file, err := os.ReadFile("rdb/testdata/" + name + ".rdb")
		if err != nil {
			t.Fatal(err)
		}
		in := filepath.Join(dir, name)
		if err := os.WriteFile(in, file, 0o600); err != nil {
			t.Fatal(err)
		}
		rep, err := Repair(context.Background(), in, filepath.Join(dir, "out.rdb"), RepairOptions{Force: true})
		if err != nil || !rep.Whole() || rep.Damage != nil {
			t.Errorf("%s: %+v %v", name, rep, err)
		}
		made, _ := os.ReadFile(filepath.Join(dir, "out.rdb"))
		if n := len(file) - 8; name != "plain" && !bytes.Equal(made, file) || !bytes.Equal(made[:n], file[:n]) {
			t.Errorf("%s: the copy is another:\n%q\n%q", name, made, file)
		}
		redisAccepts(t, filepath.Join(dir, "out.rdb"))
	}
}

// FuzzRepair: whatever comes in, what goes out can be read. Run it with -fuzzminimizetime 1x: each input
// costs some milliseconds, and the minimizer spends its minute on each new one.
func FuzzRepair(f *testing.F) {
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
		_, _, err := repaired(t, t.TempDir(), file)
		if err != nil && !errors.Is(err, ErrNothing) {
			t.Fatal(err)
		}
	})
}

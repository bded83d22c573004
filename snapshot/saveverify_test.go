package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// readAll returns what is in a file that is being written.
func readAll(t testing.TB, f *os.File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// flip changes the byte at an offset.
func flip(t testing.TB, f *os.File, at int) {
	t.Helper()
	b := readAll(t, f)
	if _, err := f.WriteAt([]byte{b[at] ^ 0x55}, int64(at)); err != nil {
		t.Fatal(err)
	}
}

// verifyStore has a compressible value among noise, one that can only be looked at
// by expanding it.
func verifyStore(t testing.TB) *kv.Store {
	s := openStore(t, kv.Options{})
	for i := range 300 {
		set(t, s, i%3, fmt.Sprint("key:", i), noise(3_000), 0)
	}
	set(t, s, 0, "compressible", strings.Repeat("abcdefgh", 2_000), 0)
	return s
}

// spoil are the ways to spoil a file between the last write and the verification.
var spoil = []struct {
	what       string
	noChecksum bool
	passes     [2]bool // yes, full
	want       error   // errors.Is, if not nil
	text       string
	fn         func(t testing.TB, f *os.File)
}{
	{"magic", false, [2]bool{}, rdb.ErrFormat, "", func(t testing.TB, f *os.File) { flip(t, f, 0) }},
	{"noise", false, [2]bool{}, rdb.ErrChecksum, "", func(t testing.TB, f *os.File) {
		b := readAll(t, f)
		flip(t, f, bytes.Index(b, []byte("key:7"))+500)
	}},
	{"noise without checksum", true, [2]bool{true, true}, nil, "", func(t testing.TB, f *os.File) {
		b := readAll(t, f)
		flip(t, f, bytes.Index(b, []byte("key:7"))+500)
	}},
	{"the checksum", false, [2]bool{}, rdb.ErrChecksum, "", func(t testing.TB, f *os.File) { flip(t, f, len(readAll(t, f))-3) }},
	{"framing", true, [2]bool{}, rdb.ErrFormat, "", func(t testing.TB, f *os.File) {
		b := readAll(t, f)
		flip(t, f, bytes.Index(b, []byte("compressible"))-1) // the length of the key
	}},
	{"compressed value", true, [2]bool{true, false}, rdb.ErrFormat, "", func(t testing.TB, f *os.File) {
		b := readAll(t, f)
		at := bytes.Index(b, []byte("compressible")) + len("compressible")
		if b[at] != 0xC3 {
			t.Fatalf("not compressed: %x", b[at])
		}
		if _, err := f.WriteAt([]byte{0xE0, 0xFF, 0xFF}, int64(at)+5); err != nil { // a reference far in front of the start
			t.Fatal(err)
		}
	}},
	{"cut off", false, [2]bool{}, rdb.ErrFormat, "", func(t testing.TB, f *os.File) {
		if err := f.Truncate(int64(len(readAll(t, f)) - 5000)); err != nil {
			t.Fatal(err)
		}
	}},
	{"emptied", false, [2]bool{}, rdb.ErrFormat, "", func(t testing.TB, f *os.File) {
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
	}},
	{"another file of this size", false, [2]bool{}, nil, "the cut had 301 keys, the file has 1", func(t testing.TB, f *os.File) {
		size := len(readAll(t, f))
		var other []byte
		for n := size - 100; len(other) != size && n < size; n++ {
			sink := &bytesSink{}
			e := rdb.NewEncoder(make([]byte, 1<<20), rdb.EncoderOptions{Checksum: true})
			e.Reset(sink)
			e.Header()
			e.SelectDB(0)
			e.String([]byte("one"), []byte(noise(n)), 0)
			e.Footer()
			other = sink.b
		}
		if len(other) != size {
			t.Fatal("no such size")
		}
		if _, err := f.WriteAt(other, 0); err != nil {
			t.Fatal(err)
		}
	}},
	{"unreadable", false, [2]bool{}, unix.EISDIR, "", func(t testing.TB, f *os.File) {
		dir, err := os.Open(filepath.Dir(f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		if err := unix.Dup3(int(dir.Fd()), int(f.Fd()), unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}},
}

// What is wrong on the disk is found before the file gets its name.
func TestSaveVerifies(t *testing.T) {
	s := verifyStore(t)
	before := descriptors(t)
	path := filepath.Join(t.TempDir(), "dump.rdb")
	intact := oldDump(t, path)
	for n, c := range spoil {
		for _, engine := range engines() {
			if engine != Fork && engine != Thread && n > 1 {
				continue // nothing in the verification depends on it
			}
			for i, mode := range []VerifyMode{VerifyYes, VerifyFull, VerifyNo} {
				if engine != Fork && engine != Thread && i > 0 {
					continue // as Thread
				}
				o := Options{Engine: engine, Verify: mode, NoChecksum: c.noChecksum, synced: func(f *os.File) { c.fn(t, f) }}
				res, err := Save(context.Background(), s, path, o)
				what := fmt.Sprintf("%s, %v, %v", c.what, engine, mode)
				if mode == VerifyNo || c.passes[i] {
					if err != nil || res.Verified != mode || (mode == VerifyNo) != (res.VerifyTook == 0) {
						t.Errorf("%s: %+v %v", what, res, err)
					}
					intact = oldDump(t, path)
					continue
				}
				var failed *VerifyError
				if !errors.As(err, &failed) || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) ||
					!strings.Contains(err.Error(), path+": verification: ") {
					t.Errorf("%s: %v", what, err)
				}
				if res.VerifyTook <= 0 || res.VerifyTook > res.Took {
					t.Errorf("%s: took %v of %v", what, res.VerifyTook, res.Took)
				}
				intact()
			}
		}
	}
	sameDescriptors(t, before)
}

// The Manager keeps the old dump, says failed, and denies writes; a good save
// ends that.
func TestManagerVerifies(t *testing.T) {
	s := verifyStore(t)
	for _, engine := range background() {
		r := newRig(t, s, engine)
		intact := oldDump(t, r.path())
		r.change(func(s *Settings) { s.SavePoints = []SavePoint{{60, 1}} })
		bad := true
		r.o.synced = func(f *os.File) {
			if bad {
				flip(t, f, len(readAll(t, f))-1)
			}
		}
		set(t, s, 0, "changed", "yes", 0)
		r.start("")
		in := r.wait()
		if in.LastBgsaveOK || in.LastVerified != "failed" || !strings.Contains(in.LastError, "verification: ") || in.LastLimitReached ||
			in.LastVerifySeconds <= 0 || in.ChangesSinceLastSave != 1 || r.WriteDenied() != in.LastError {
			t.Errorf("%v: %+v", engine, in)
		}
		intact()
		r.logged("Background saving error (engine "+engine.String()+", asked for by BGSAVE)", "verification: ")
		bad = false
		r.change(func(s *Settings) { s.Verify = VerifyFull })
		r.start("")
		if in = r.wait(); !in.LastBgsaveOK || in.LastVerified != "full" || in.LastError != "" || r.WriteDenied() != "" ||
			in.LastVerifySeconds <= 0 || in.LastSeconds < in.LastVerifySeconds || !maps.Equal(readDump(t, r.path()), contents(s)) {
			t.Errorf("%v: %+v", engine, in)
		}
		r.logged("verified (full) in ")
		r.change(func(s *Settings) { s.Verify = VerifyNo })
		r.start("")
		if in = r.wait(); in.LastVerified != "no" || in.LastVerifySeconds != 0 {
			t.Errorf("%v: %+v", engine, in)
		}
		r.logged("not verified")
		r.Close()
	}
}

// A save that is cancelled when all is written and not yet verified is cancelled.
func TestCancelWhileVerifying(t *testing.T) {
	s := bulkStore(t, 8)
	for _, engine := range engines() {
		path := filepath.Join(t.TempDir(), "dump.rdb")
		intact := oldDump(t, path)
		cause := errors.New("enough")
		for _, late := range []time.Duration{0, time.Millisecond, 2 * time.Millisecond} {
			ctx, cancel := context.WithCancelCause(context.Background())
			o := Options{Engine: engine, Verify: VerifyFull}
			o.synced = func(*os.File) {
				if late == 0 {
					cancel(cause)
				}
				time.AfterFunc(late, func() { cancel(cause) })
			}
			res, err := Save(ctx, s, path, o)
			var failed *VerifyError
			if err == nil && late > 0 {
				intact = oldDump(t, path) // it was too late
				continue
			}
			if !errors.Is(err, cause) || errors.As(err, &failed) || verdict(&res, err) != "no" {
				t.Errorf("%v: %v, verified %s", engine, err, verdict(&res, err))
			}
			intact()
		}
		if engine == Foreground {
			continue
		}
		r := newRig(t, s, engine)
		intact = oldDump(t, r.path())
		reached, cancelled := make(chan bool), make(chan bool)
		r.o.synced = func(*os.File) { reached <- true; <-cancelled }
		r.start("")
		<-reached
		if in := r.Info(); in.CurrentPhase != "syncing" || in.CurrentETASeconds != 0 || in.CurrentSaveKeysDone != in.CurrentSaveKeysTotal {
			t.Errorf("%v: %+v", engine, in)
		}
		r.run.cancel(ErrCancelled)
		close(cancelled)
		in := r.wait()
		if !in.LastBgsaveOK || in.LastVerified != "no" || in.LastError != "" || r.WriteDenied() != "" {
			t.Errorf("%v: %+v", engine, in)
		}
		intact()
		r.logged("Background saving terminated by a request (engine " + engine.String() + ")")
		r.Close()
	}
}

// A limit on the size of files fails the save as a full disk does.
func TestFileSizeLimit(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	s := bulkStore(t, 3)
	for _, engine := range engines() {
		path := filepath.Join(t.TempDir(), "dump.rdb")
		intact := oldDump(t, path)
		var was unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: was.Max}); err != nil {
			t.Fatal(err)
		}
		_, err := Save(context.Background(), s, path, Options{Engine: engine, NoIncrementalFsync: engine == Fork})
		if again := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); again != nil {
			t.Fatal(again)
		}
		if !errors.Is(err, unix.EFBIG) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: %v", engine, err)
		}
		intact()
		if _, err := Save(context.Background(), s, path, Options{Engine: engine}); err != nil {
			t.Errorf("%v: without the limit: %v", engine, err)
		}
	}
}

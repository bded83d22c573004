package snapshot

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var keptAt = time.Date(2026, 1, 31, 23, 59, 59, 123_456_789, time.UTC)

// dumpDir returns a directory with a dump.
func dumpDir(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// names returns what is in a directory, sorted.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestKeepCopyIsALink(t *testing.T) {
	dir := dumpDir(t, "one")
	r := newRetention()
	zone := time.FixedZone("", 3600)
	for _, want := range []string{"dump-20260131T235959.123Z.rdb", "dump-20260131T235959.123Z-2.rdb", "dump-20260131T235959.123Z-3.rdb"} {
		file, err := r.keepCopy(t.Context(), dir, "dump.rdb", keptAt.In(zone))
		if file != want || err != nil {
			t.Fatalf("%q, %v; want %q", file, err, want)
		}
		a, _ := os.Stat(filepath.Join(dir, "dump.rdb"))
		if b, err := os.Stat(filepath.Join(dir, file)); err != nil || !os.SameFile(a, b) {
			t.Errorf("%s is not the dump: %v", file, err)
		}
	}
	// The next dump replaces the name, not the file.
	next := filepath.Join(dir, "next")
	if err := errors.Join(os.WriteFile(next, []byte("two"), 0o644), os.Rename(next, filepath.Join(dir, "dump.rdb"))); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, filepath.Join(dir, "dump-20260131T235959.123Z.rdb")); got != "one" {
		t.Errorf("%q was kept", got)
	}
}

func TestKeepCopyWhereThereAreNoLinks(t *testing.T) {
	text := strings.Repeat("0123456789", 2<<20) // more than two pieces
	for _, errno := range []error{unix.EPERM, unix.EOPNOTSUPP, unix.EMLINK, unix.EXDEV} {
		dir := dumpDir(t, text)
		r := newRetention()
		r.link = func(from, to string) error { return &os.LinkError{Op: "link", Old: from, New: to, Err: errno} }
		for _, want := range []string{"dump-20260131T235959.123Z.rdb", "dump-20260131T235959.123Z-2.rdb"} {
			file, err := r.keepCopy(t.Context(), dir, "dump.rdb", keptAt)
			if file != want || err != nil {
				t.Fatalf("%v: %q, %v", errno, file, err)
			}
			if readText(t, filepath.Join(dir, file)) != text {
				t.Errorf("%v: the copy differs", errno)
			}
		}
		noTemps(t, dir)
	}
}

func TestKeepCopyClones(t *testing.T) {
	dir := dumpDir(t, "one")
	r := newRetention()
	r.link = func(from, to string) error { return unix.EXDEV }
	cloned := false
	r.clone = func(dst, src *os.File) error {
		cloned = true
		_, err := io.Copy(dst, src)
		return err
	}
	r.copy = func(io.Writer, io.Reader, int64) (int64, error) { return 0, errors.New("copied though it was cloned") }
	file, err := r.keepCopy(t.Context(), dir, "dump.rdb", keptAt)
	if err != nil || !cloned || readText(t, filepath.Join(dir, file)) != "one" {
		t.Errorf("%q, %v, cloned %v", file, err, cloned)
	}
}

func TestKeepCopyFailures(t *testing.T) {
	noLink := func(from, to string) error { return unix.EPERM }
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(ErrCancelled)
	cases := []struct {
		name string
		set  func(r *retention)
		ctx  context.Context
		want error
	}{
		{"out of space", func(r *retention) {
			r.link = noLink
			r.copy = func(dst io.Writer, src io.Reader, n int64) (int64, error) {
				dst.Write([]byte("on"))
				return 2, &os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC}
			}
		}, t.Context(), unix.ENOSPC},
		{"cancelled", func(r *retention) { r.link = noLink }, cancelled, ErrCancelled},
		{"the link itself", func(r *retention) { r.link = func(from, to string) error { return unix.ENOSPC } }, t.Context(), unix.ENOSPC},
		{"names used up", func(r *retention) { r.link = func(from, to string) error { return unix.EEXIST } }, t.Context(), os.ErrExist},
	}
	for _, c := range cases {
		dir := dumpDir(t, "one")
		r := newRetention()
		c.set(r)
		file, err := r.keepCopy(c.ctx, dir, "dump.rdb", keptAt)
		if file != "" || !errors.Is(err, c.want) || !strings.Contains(err.Error(), filepath.Join(dir, "dump.rdb")) {
			t.Errorf("%s: %q, %v", c.name, file, err)
		}
		if left := names(t, dir); !slices.Equal(left, []string{"dump.rdb"}) {
			t.Errorf("%s: left %q", c.name, left)
		}
	}
	// No dump, and no directory.
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Join(dir, "none")} {
		if file, err := newRetention().keepCopy(t.Context(), d, "dump.rdb", keptAt); file != "" || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %q, %v", d, file, err)
		}
	}
}

// A link that stands is told of even if it may not be durable.
func TestKeepCopyNotDurable(t *testing.T) {
	dir := dumpDir(t, "one")
	r := newRetention()
	r.link = func(from, to string) error { return errors.Join(os.Link(from, to), os.Rename(dir, dir+".moved")) }
	t.Cleanup(func() { os.RemoveAll(dir + ".moved") })
	file, err := r.keepCopy(t.Context(), dir, "dump.rdb", keptAt)
	if file != "dump-20260131T235959.123Z.rdb" || err == nil {
		t.Errorf("%q, %v", file, err)
	}
}

func TestPruneRemovesTheOldestOfItsOwn(t *testing.T) {
	own := []string{ // the newest first
		"dump-20260131T235959.123Z-10.rdb",
		"dump-20260131T235959.123Z-3.rdb",
		"dump-20260131T235959.123Z-2.rdb",
		"dump-20260131T235959.123Z.rdb",
		"dump-20260131T235959.122Z-3.rdb",
		"dump-20251231T000000.000Z.rdb",
		"dump-19991231T000000.000Z.rdb",
	}
	others := []string{
		"dump.rdb",
		"dump-a-19991231T000000.000Z.rdb",   // of dump-a.rdb
		"dump2-19991231T000000.000Z.rdb",    // of dump2.rdb
		"mydump-19991231T000000.000Z.rdb",   //
		"dump-19991231T000000.000Z.rdb.bak", //
		"dump-19991231T000000.000Z.rdb.rdb", //
		"dump-19991231T000000.000Z-1.rdb",   // the first has no number
		"dump-19991231T000000.000Z-02.rdb",  //
		"dump-19991231T000000.000Z-x.rdb",   //
		"dump-19991231T000000.000Z-2-2.rdb", //
		"dump-19991231T000000.000Z-9999999999.rdb",
		"dump-19991331T000000.000Z.rdb", // there is no such month
		"dump-19990230T000000.000Z.rdb", //
		"dump-19991231T240000.000Z.rdb", //
		"dump-19991231T000000Z.rdb",     // a script's
		"dump-19991231T000000.0Z.rdb",   //
		"dump-19991231T000000,000Z.rdb", //
		"dump-19991231T000000.000.rdb",  //
		"dump-19991231.rdb",             //
		"dump-nightly.rdb",              //
		"Dump-19991231T000000.000Z.rdb", //
		"temp-1-0123456789abcdef.rdb",   //
	}
	for _, c := range []struct {
		keep    int
		fresh   string
		removed []string
	}{
		{1, "", own[1:]},
		{2, "", own[2:]},
		{3, "", own[3:]},
		{7, "", nil},
		{1000, "", nil},
		{0, "", nil}, // off: what is there stays
		{-1, "", nil},
		{0, own[0], nil},
		{2, own[0], own[2:]},
		// The clock was ahead before: what was made just now stays.
		{1, own[6], own[:6]},
		{2, own[6], own[1:6]},
	} {
		dir := t.TempDir()
		all := slices.Concat(own, others)
		for _, name := range all {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		removed, err := newRetention().prune(dir, "dump.rdb", c.keep, c.fresh)
		if err != nil || !slices.Equal(removed, c.removed) {
			t.Errorf("keep %d: %q, %v", c.keep, removed, err)
		}
		want := slices.DeleteFunc(all, func(n string) bool { return slices.Contains(c.removed, n) })
		slices.Sort(want)
		if left := names(t, dir); !slices.Equal(left, want) {
			t.Errorf("keep %d: left\n%q, want\n%q", c.keep, left, want)
		}
	}
}

func TestPruneTouchesNoDirectoryOrLink(t *testing.T) {
	dir := dumpDir(t, "one")
	const newest, sub, link = "dump-20260131T235959.123Z.rdb", "dump-20250101T000000.000Z.rdb", "dump-20240101T000000.000Z.rdb"
	if err := errors.Join(os.WriteFile(filepath.Join(dir, newest), nil, 0o644), os.Mkdir(filepath.Join(dir, sub), 0o755),
		os.Symlink("dump.rdb", filepath.Join(dir, link))); err != nil {
		t.Fatal(err)
	}
	removed, err := newRetention().prune(dir, "dump.rdb", 1, "")
	if len(removed) > 0 || err != nil || len(names(t, dir)) != 4 {
		t.Errorf("%q, %v, left %q", removed, err, names(t, dir))
	}
	if err := newRetention().remove(filepath.Join(dir, sub)); err == nil {
		t.Error("a directory was removed")
	}
}

func TestPruneGoesOnAfterAnError(t *testing.T) {
	dir := dumpDir(t, "one")
	r := newRetention()
	for i := range 4 {
		if _, err := r.keepCopy(t.Context(), dir, "dump.rdb", keptAt.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	remove := r.remove
	r.remove = func(path string) error {
		switch filepath.Base(path) {
		case keptFile("dump.rdb", keptAt.Add(2*time.Second), 1):
			return unix.EROFS
		case keptFile("dump.rdb", keptAt.Add(1*time.Second), 1):
			return unix.ENOENT // somebody else was faster
		}
		return remove(path)
	}
	removed, err := r.prune(dir, "dump.rdb", 1, "")
	if !slices.Equal(removed, []string{keptFile("dump.rdb", keptAt, 1)}) || !errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOENT) ||
		!strings.Contains(err.Error(), filepath.Join(dir, "dump-20260201T000001.123Z.rdb")) {
		t.Errorf("%q, %v", removed, err)
	}
	none := filepath.Join(dir, "none")
	if _, err := r.prune(none, "dump.rdb", 1, ""); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), none) {
		t.Errorf("no directory: %v", err)
	}
}

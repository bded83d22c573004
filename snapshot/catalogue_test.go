package snapshot

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
)

func TestSnapshotNames(t *testing.T) {
	long := strings.Repeat("n", nameLongest)
	for _, c := range []struct {
		name, dump, file string // file "": refused
		err              string // of newSnapshotFile; "" if it says the same
	}{
		{"nightly", "dump.rdb", "nightly.rdb", ""},
		{"nightly.rdb", "dump.rdb", "nightly.rdb", ""},
		{"a.B_c-9", "dump.rdb", "a.B_c-9.rdb", ""},
		{"temp", "dump.rdb", "temp.rdb", ""},
		{"x.RDB", "dump.rdb", "x.RDB.rdb", ""},
		{long, "dump.rdb", long + ".rdb", ""},
		{"dump", "dump.rdb", "dump.rdb", `"dump": that is the dump itself`},
		{"dump.rdb", "dump.rdb", "dump.rdb", `"dump.rdb": that is the dump itself`},
		{"dump", "dump", "dump", "the dump itself"},
		{"dump.rdb", "dump", "dump.rdb", ""},
		{"my data", "my data.rdb", "my data.rdb", "the dump itself"},
		{"temp-1.rdb", "temp-1.rdb", "temp-1.rdb", "the dump itself"},
		{"dump-20260131T235959.123Z", "dump.rdb", "dump-20260131T235959.123Z.rdb", "save-keep"},
		{"dump-20260131T235959.123Z-2.rdb", "dump.rdb", "dump-20260131T235959.123Z-2.rdb", "save-keep"},
		{"dump-20260131T235959.123Z", "other.rdb", "dump-20260131T235959.123Z.rdb", ""},
		{"my data-20260131T235959.123Z", "my data.rdb", "my data-20260131T235959.123Z.rdb", "save-keep"},
		{"", "dump.rdb", "", `"" is empty`},
		{long + "n", "dump.rdb", "", "201 bytes"},
		{".hidden", "dump.rdb", "", `".hidden" begins with '.'`},
		{"..", "dump.rdb", "", `".." begins`},
		{".rdb", "dump.rdb", "", "begins"},
		{"-x", "dump.rdb", "", `"-x" begins with '-'`},
		{"temp-x", "dump.rdb", "", `"temp-x" begins with "temp-"`},
		{"temp-1-0123456789abcdef.rdb", "dump.rdb", "", "in the making"},
		{"a/b", "dump.rdb", "", `"a/b" has something other`},
		{"../dump", "dump.rdb", "", "begins"},
		{"a b", "dump.rdb", "", "something other"},
		{"a\x00", "dump.rdb", "", `"a\x00"`},
		{"a\n", "dump.rdb", "", `"a\n"`},
		{"ä", "dump.rdb", "", "something other"},
	} {
		file, err := snapshotFile(c.name, c.dump)
		if file != c.file || (err != nil) != (c.file == "") {
			t.Errorf("%q beside %q: %q, %v", c.name, c.dump, file, err)
		}
		made, errNew := newSnapshotFile(c.name, c.dump)
		switch {
		case c.err == "" && (made != c.file || errNew != nil):
			t.Errorf("new %q beside %q: %q, %v", c.name, c.dump, made, errNew)
		case c.err != "" && (made != "" || errNew == nil || !strings.Contains(errNew.Error(), c.err)):
			t.Errorf("new %q beside %q: %q, %v; want %s", c.name, c.dump, made, errNew, c.err)
		}
	}
	if _, err := snapshotFile(strings.Repeat("/", 1<<20), "dump.rdb"); err == nil || len(err.Error()) > 1000 {
		t.Error("the error holds a whole megabyte")
	}
}

// FuzzSnapshotFile: no name leads out of the directory, or to a file in the making.
func FuzzSnapshotFile(f *testing.F) {
	f.Add("nightly", "dump.rdb")
	f.Add("dump-20260131T235959.123Z-2", "dump.rdb")
	f.Fuzz(func(t *testing.T, name, dump string) {
		if dump == "" || dump == "." || dump == ".." || strings.ContainsAny(dump, "/\x00") {
			return
		}
		file, err := snapshotFile(name, dump)
		if err == nil && (file != filepath.Base(file) || file == ".." || file != dump && tempName.MatchString(file)) {
			t.Errorf("%q: %q", name, file)
		}
		if made, err := newSnapshotFile(name, dump); err == nil && made == dump {
			t.Errorf("%q is the dump", name)
		}
	})
}

// saveTo saves a store of one key.
func saveTo(t *testing.T, path string, o Options) {
	t.Helper()
	store := openStore(t, kv.Options{})
	set(t, store, 0, "k", "v", 0)
	o.Engine = Thread
	if _, err := Save(t.Context(), store, path, o); err != nil {
		t.Fatal(err)
	}
}

// touch sets the time of a file, seconds after a fixed one.
func touch(t *testing.T, path string, seconds int) {
	t.Helper()
	at := time.Date(2026, 1, 1, 0, 0, seconds, 0, time.UTC)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestListSnapshots(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	saveTo(t, in("dump.rdb"), Options{Engine: Thread})
	touch(t, in("dump.rdb"), 20)
	if err := os.Link(in("dump.rdb"), in("dump-20260101T000020.000Z.rdb")); err != nil {
		t.Fatal(err)
	}
	dump, err := os.ReadFile(in("dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	for i, change := range [][2]string{{engineAux, "xvd-engine"}, {"thread", "stream"}} {
		name := in([]string{"old.rdb", "strange.rdb"}[i])
		if err := os.WriteFile(name, bytes.Replace(dump, []byte(change[0]), []byte(change[1]), 1), 0o644); err != nil {
			t.Fatal(err)
		}
		touch(t, name, i+1)
	}
	for name, text := range map[string]string{"text.rdb": "no dump at all", "empty.rdb": "", "notes.txt": "x", "temp-1-0123456789abcdef.rdb": "x",
		".hidden.rdb": "x", "a b.rdb": "x"} {
		if err := os.WriteFile(in(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		touch(t, in(name), 3)
	}
	for _, err := range []error{os.Mkdir(in("dir.rdb"), 0o755), os.Symlink("old.rdb", in("link.rdb")), os.Symlink("gone", in("dangling.rdb")),
		unix.Mkfifo(in("pipe.rdb"), 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := listSnapshots(dir, "dump.rdb")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, strings.Join([]string{s.Name, s.File, s.Kind, s.Engine}, " "))
		info, err := os.Stat(in(s.File))
		if err != nil || s.Bytes != info.Size() || !s.ModTime.Equal(info.ModTime()) {
			t.Errorf("%+v; %v", s, info)
		}
		if file, err := snapshotFile(s.Name, "dump.rdb"); file != s.File || err != nil {
			t.Errorf("the name %q means %q: %v", s.Name, file, err)
		}
	}
	want := []string{
		"dump dump.rdb default thread",
		"dump-20260101T000020.000Z dump-20260101T000020.000Z.rdb kept thread",
		"text text.rdb named ",
		"empty empty.rdb named ",
		"strange strange.rdb named ",
		"old old.rdb named ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestListSnapshotsBesideAnOddDump(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"my data", "my data.rdb", "my data-20260101T000020.000Z.rdb", "other.rdb"} { // all but the last of one time
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		touch(t, filepath.Join(dir, name), -(i+1)/4)
	}
	list, err := listSnapshots(dir, "my data")
	var got []string
	for _, s := range list {
		got = append(got, s.Name+":"+s.Kind)
	}
	// "my data.rdb" has a space, which no name has.
	if want := "my data:default my data-20260101T000020.000Z:kept other:named"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v", got, err)
	}
	if list, err := listSnapshots(t.TempDir(), "dump.rdb"); err != nil || list == nil || len(list) != 0 {
		t.Errorf("an empty directory: %v, %v", list, err)
	}
	if _, err := listSnapshots(filepath.Join(dir, "other.rdb"), "dump.rdb"); err == nil || !strings.Contains(err.Error(), "other.rdb") {
		t.Errorf("no directory: %v", err)
	}
}

// Between the look at the directory and the opening a file may be replaced.
func TestListSnapshotsOpensNothingElse(t *testing.T) {
	dir := t.TempDir()
	pipe, link, sub := filepath.Join(dir, "pipe.rdb"), filepath.Join(dir, "link.rdb"), filepath.Join(dir, "dir.rdb")
	for _, err := range []error{unix.Mkfifo(pipe, 0o644), os.Symlink("file", link), os.Mkdir(sub, 0o755),
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{pipe, link, sub, filepath.Join(dir, "gone.rdb")} {
		var s SnapshotInfo
		if err := s.read(path); err == nil {
			t.Errorf("%s was read", path)
		}
	}
}

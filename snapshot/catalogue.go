package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kvd/snapshot/rdb"
)

// SnapshotInfo is a dump in the directory of a server.
type SnapshotInfo struct {
	Name    string // what BGSAVE … TO, SNAPSHOT VERIFY and LOAD call it
	File    string // within the directory
	Kind    string // SnapshotDefault, SnapshotKept or SnapshotNamed
	Bytes   int64
	ModTime time.Time
	Engine  string // as Engine.String; "" if the file does not tell
}

// The kinds of snapshots.
const (
	SnapshotDefault = "default" // the dump that is loaded at the start
	SnapshotKept    = "kept"    // an earlier one, see retention
	SnapshotNamed   = "named"
)

const (
	rdbSuffix   = ".rdb"
	tempPrefix  = "temp-"
	nameLongest = 200 // bytes

	// engineAux is the field in the head of a file that names the engine.
	engineAux = "kvd-engine"
)

// snapshotFile returns the file within the directory that a name stands for:
// that of the dump, of an earlier dump that was kept, or of a named snapshot.
// The suffix .rdb may be left out. Names cannot lead out of the directory. It does not
// look whether there is such a file.
func snapshotFile(name, dumpFile string) (string, error) {
	file := name
	if !strings.HasSuffix(name, rdbSuffix) {
		file += rdbSuffix
	}
	if name == dumpFile || file == dumpFile {
		return dumpFile, nil
	}
	if _, ok := parseKept(file, dumpFile); ok {
		return file, nil
	}
	if problem := nameProblem(name); problem != "" {
		return "", fmt.Errorf("snapshot name %.*q %s", nameLongest, name, problem)
	}
	return file, nil
}

// newSnapshotFile returns the file for a snapshot that is to be made under a name:
// as snapshotFile, but the dump and those that are kept of it cannot be named.
func newSnapshotFile(name, dumpFile string) (string, error) {
	file, err := snapshotFile(name, dumpFile)
	if err != nil {
		return "", err
	}
	if file == dumpFile {
		return "", fmt.Errorf("snapshot name %q: that is the dump itself", name)
	}
	if _, ok := parseKept(file, dumpFile); ok {
		return "", fmt.Errorf("snapshot name %q is of the form that save-keep uses, and removes", name)
	}
	return file, nil
}

// nameProblem returns what is wrong with the name of a snapshot, "" if nothing is.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > nameLongest:
		return fmt.Sprintf("has %d bytes, %d are the most", len(name), nameLongest)
	case name[0] == '.' || name[0] == '-':
		return fmt.Sprintf("begins with %q", name[0])
	case strings.HasPrefix(name, tempPrefix):
		return fmt.Sprintf("begins with %q, as files in the making do", tempPrefix)
	}
	for i := range len(name) {
		switch c := name[i]; {
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '.' || c == '_' || c == '-':
		default:
			return "has something other than letters, digits, dot, underscore and hyphen"
		}
	}
	return ""
}

// listSnapshots returns what can be loaded by name from a directory, the newest
// first. It opens nothing but regular files and does not judge what is in them.
// Files that cannot be read are left out.
func listSnapshots(dir, dumpFile string) ([]SnapshotInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	list := []SnapshotInfo{}
	for _, e := range entries {
		info := SnapshotInfo{File: e.Name()}
		if !e.Type().IsRegular() || !info.classify(dumpFile) {
			continue
		}
		if err := info.read(filepath.Join(dir, info.File)); err == nil {
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b SnapshotInfo) int {
		// A kept dump has the time of the dump that it is a link to.
		return cmp.Or(b.ModTime.Compare(a.ModTime), cmp.Compare(a.order(), b.order()), cmp.Compare(b.File, a.File))
	})
	return list, nil
}

// classify sets Name and Kind; it returns false if no name stands for the file.
func (s *SnapshotInfo) classify(dumpFile string) bool {
	if s.File != dumpFile && !strings.HasSuffix(s.File, rdbSuffix) {
		return false
	}
	s.Kind = SnapshotNamed
	if _, ok := parseKept(s.File, dumpFile); ok {
		s.Kind = SnapshotKept
	}
	if s.File == dumpFile {
		s.Kind = SnapshotDefault
	}
	for _, s.Name = range []string{strings.TrimSuffix(s.File, rdbSuffix), s.File} {
		if file, err := snapshotFile(s.Name, dumpFile); err == nil && file == s.File {
			return true
		}
	}
	return false
}

func (s *SnapshotInfo) order() int {
	return slices.Index([]string{SnapshotDefault, SnapshotKept, SnapshotNamed}, s.Kind)
}

var errNotRegular = errors.New("not a regular file")

// read sets what the file itself tells. What stood there as a regular file may be
// something else by now: neither a link is followed nor a pipe waited for.
func (s *SnapshotInfo) read(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errNotRegular
	}
	s.Bytes, s.ModTime = info.Size(), info.ModTime()
	s.Engine = readEngine(f)
	return nil
}

// readEngine returns the engine that the head of a file names, "" if it names none.
func readEngine(r io.Reader) string {
	const head = 4 << 10 // bytes
	d := rdb.NewDecoder(io.LimitReader(r, head), rdb.DecoderOptions{MaxString: head, BufferSize: head, SkipChecksum: true})
	var ev rdb.Event
	for d.Next(&ev) == nil && ev.Kind == rdb.KindAux {
		if string(ev.Key) != engineAux {
			continue
		}
		for e := Fork; e <= Foreground; e++ {
			if e.String() == string(ev.Value) {
				return e.String()
			}
		}
	}
	return ""
}

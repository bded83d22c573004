package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Earlier dumps are kept (save-keep) beside the dump, under its name and the time:
//
//	dump.rdb                            the dump
//	dump-20260131T235959.123Z.rdb       kept, UTC
//	dump-20260131T235959.123Z-2.rdb     another one of the same millisecond
//
// A kept dump is a hard link to what is the dump at the time, and is all that is left of it
// when the next one takes its name: it costs nothing but the room on the disk. Nothing that
// has not exactly this form is ever removed.

const keptTime = "20060102T150405.000Z"

var keptName = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}\.[0-9]{3}Z)(?:-([1-9][0-9]{0,8}))?\.rdb$`)

// kept is what the name of a kept dump says.
type kept struct {
	file string
	time time.Time
	n    int // 1 for the first of a millisecond
}

// keptPrefix is what the names of all that is kept of a dump begin with.
func keptPrefix(dumpFile string) string { return strings.TrimSuffix(dumpFile, rdbSuffix) + "-" }

// keptFile returns the name of the nth dump that is kept at a time.
func keptFile(dumpFile string, now time.Time, n int) string {
	name := keptPrefix(dumpFile) + now.UTC().Format(keptTime)
	if n > 1 {
		name += "-" + strconv.Itoa(n)
	}
	return name + rdbSuffix
}

// parseKept returns what a name says if keptFile can have made it for dumpFile.
func parseKept(file, dumpFile string) (kept, bool) {
	rest, ok := strings.CutPrefix(file, keptPrefix(dumpFile))
	m := keptName.FindStringSubmatch(rest)
	if !ok || m == nil {
		return kept{}, false
	}
	k := kept{file: file, n: 1}
	var err error
	if k.time, err = time.Parse(keptTime, m[1]); err != nil {
		return kept{}, false
	}
	if m[2] != "" {
		k.n, _ = strconv.Atoi(m[2]) // it is digits, few enough
	}
	return k, keptFile(dumpFile, k.time, k.n) == file
}

// retention is how files are kept and removed; tests have it fail.
type retention struct {
	made   []string // names that keepCopy has made, the newest last: whatever the clock said
	link   func(old, new string) error
	clone  func(dst, src *os.File) error
	copy   func(dst io.Writer, src io.Reader, n int64) (int64, error)
	remove func(path string) error
}

func newRetention() *retention {
	return &retention{
		link:   os.Link,
		clone:  func(dst, src *os.File) error { return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) },
		copy:   io.CopyN,
		remove: func(path string) error { return unix.Unlink(path) }, // unlike os.Remove never a directory
	}
}

// keepCopy gives the dump that stands in the directory a second name, by the
// time, and returns it. Where the file system has no links it makes a copy,
// which ctx can end. The name is set, beside an error too, if there is a file of that name.
func (r *retention) keepCopy(ctx context.Context, dir, dumpFile string, now time.Time) (file string, err error) {
	const most = 1000 // dumps of one millisecond
	for n := 1; n <= most; n++ {
		file = keptFile(dumpFile, now, n)
		from, to := filepath.Join(dir, dumpFile), filepath.Join(dir, file)
		err = r.link(from, to)
		if err == nil {
			if err = syncDir(dir); err != nil {
				err = &notDurable{err}
			}
			break
		}
		if noLinks(err) {
			err = r.copyFile(ctx, from, to)
		}
		if !errors.Is(err, os.ErrExist) {
			break
		}
	}
	if err == nil {
		r.made = append(slices.DeleteFunc(r.made, func(old string) bool { return old == file }), file)
		return file, nil
	}
	err = fmt.Errorf("keep %s as %s: %w", filepath.Join(dir, dumpFile), file, err)
	var renamed *notDurable
	if errors.As(err, &renamed) {
		return file, err
	}
	return "", err
}

// notDurable is an error after which a new file stands, but may not survive a
// power failure.
type notDurable struct{ error }

func (e *notDurable) Unwrap() error { return e.error }

// noLinks tells whether an error means that a file cannot have another link here,
// though it may have a copy.
func noLinks(err error) bool {
	for _, errno := range []error{unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS, unix.EMLINK, unix.EXDEV} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// copyFile makes a durable copy. Until it is whole it has a temporary name, which
// RemoveStale knows.
func (r *retention) copyFile(ctx context.Context, from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return os.ErrExist
	}
	src, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	out, err := createFile(to)
	if err != nil {
		return err
	}
	defer out.abort()
	if r.clone(out.f, src) != nil { // few file systems can
		err = r.copyBytes(ctx, out.f, src)
	}
	if err == nil {
		err = out.sync()
	}
	if err != nil {
		return err
	}
	if err = out.commit(); err == nil {
		return nil
	}
	if _, missing := os.Lstat(to); missing == nil {
		err = &notDurable{err}
	}
	return err
}

func (r *retention) copyBytes(ctx context.Context, dst, src *os.File) error {
	const piece = 8 << 20 // between two looks at ctx
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		switch _, err := r.copy(dst, src, piece); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// syncDir makes what happened to the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBADF) { // no such thing on this file system
		return nil
	}
	return err
}

// prune removes all but the newest keep of the dumps that are kept in a directory, and
// returns the names of those it removed. Those that r has made are newer than the others, and
// fresh, if not "", is the newest, whatever their names say: the clock may have been ahead once. With keep 0 or less it removes
// nothing: that means that none are to be kept from now on, not that those there are are
// worthless. What it cannot remove does not keep it from removing the others.
func (r *retention) prune(dir, dumpFile string, keep int, fresh string) (removed []string, err error) {
	if keep <= 0 {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("save-keep: %w", err)
	}
	var all []kept
	for _, e := range entries {
		if k, ok := parseKept(e.Name(), dumpFile); ok && e.Type().IsRegular() && k.file != fresh {
			all = append(all, k)
		}
	}
	r.made = slices.DeleteFunc(r.made, func(file string) bool { // what there is no more, or of another dump
		return file != fresh && !slices.ContainsFunc(all, func(k kept) bool { return k.file == file })
	})
	age := func(k kept) int { return slices.Index(r.made, k.file) }
	slices.SortFunc(all, func(a, b kept) int {
		return cmp.Or(cmp.Compare(age(b), age(a)), b.time.Compare(a.time), cmp.Compare(b.n, a.n))
	})
	if fresh != "" {
		keep--
	}
	var errs []error
	for _, k := range all[min(keep, len(all)):] {
		path := filepath.Join(dir, k.file)
		switch err := r.remove(path); {
		case err == nil:
			removed = append(removed, k.file)
		case !errors.Is(err, os.ErrNotExist):
			errs = append(errs, fmt.Errorf("save-keep: %w", &os.PathError{Op: "remove", Path: path, Err: err}))
		}
	}
	return removed, errors.Join(errs...)
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"kvd/snapshot"
)

// rdbTool is --check-rdb or --repair-rdb with its arguments. It returns the exit status.
type rdbTool func(stdout, stderr io.Writer) int

// rdbOption recognises the options that work on a dump and end; like --version they come first.
func rdbOption(argv []string) (tool rdbTool, ok bool) {
	if len(argv) == 0 || argv[0] != "--check-rdb" && argv[0] != "--repair-rdb" {
		return nil, false
	}
	var o snapshot.RepairOptions
	var files []string
	for _, arg := range argv[1:] {
		switch {
		case arg == "--force" && argv[0] == "--repair-rdb":
			o.Force = true
		case arg == "--drop-unsupported" && argv[0] == "--repair-rdb":
			o.DropRefused = true
		default:
			files = append(files, arg)
		}
	}
	switch {
	case argv[0] == "--check-rdb" && len(files) == 1:
		return func(stdout, stderr io.Writer) int { return runCheckRDB(stdout, stderr, files[0]) }, true
	case argv[0] == "--repair-rdb" && len(files) == 2:
		return func(stdout, stderr io.Writer) int { return runRepairRDB(stdout, stderr, files[0], files[1], o) }, true
	}
	return func(_, stderr io.Writer) int {
		fmt.Fprint(stderr, "Usage: kvd --check-rdb FILE\n       kvd --repair-rdb IN OUT [--force] [--drop-unsupported]\n")
		return 1
	}, true
}

// untilSignal is done at SIGINT and SIGTERM.
func untilSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

// runCheckRDB prints what redis-check-rdb prints, then the keys by database and type. The status is 0 if
// kvd loads the file, else 1.
func runCheckRDB(stdout, stderr io.Writer, path string) int {
	ctx, stop := untilSignal()
	defer stop()
	f, size, err := openDump(path)
	if err != nil {
		fmt.Fprintf(stderr, "Cannot check %s: %v\n", path, err)
		return 1
	}
	defer f.Close()
	fmt.Fprintf(stdout, "[offset 0] Checking RDB file %s\n", path)
	rep, err := snapshot.Verify(ctx, f, size, snapshot.VerifyOptions{Full: true, Unique: true, AllTypes: true,
		Aux: func(end int64, name, value string) {
			fmt.Fprintf(stdout, "[offset %d] AUX FIELD %s = '%s'\n", end, printable(name), printable(value))
		},
		SelectDB: func(end int64, db int) { fmt.Fprintf(stdout, "[offset %d] Selecting DB ID %d\n", end, db) },
	})
	if err != nil {
		printDamage(stdout, &rep, err)
	} else {
		switch {
		case rep.Checksum:
			fmt.Fprintf(stdout, "[offset %d] Checksum OK\n", rep.Bytes)
		case rep.Version >= checksumVersion:
			fmt.Fprintf(stdout, "[offset %d] RDB file was saved with checksum disabled: no check performed.\n", rep.Bytes)
		}
		fmt.Fprintf(stdout, "[offset %d] \\o/ RDB looks OK! \\o/\n", rep.Bytes)
	}
	printCounts(stdout, &rep)
	if err == nil && rep.Bytes < rep.Size {
		fmt.Fprintf(stdout, "[info] %d bytes stand behind the end\n", rep.Size-rep.Bytes)
	}
	if err == nil && rep.FirstRefused != nil {
		fmt.Fprintf(stdout, "[info] kvd cannot load this file: %v\n", rep.FirstRefused)
	}
	if err != nil || rep.FirstRefused != nil {
		return 1
	}
	return 0
}

// checksumVersion is the first version of files that have a checksum.
const checksumVersion = 5

// openDump opens a dump and returns its size. Nothing is waited for that would write into a pipe.
func openDump(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// printDamage says where a file is damaged and what was being read there.
func printDamage(w io.Writer, rep *snapshot.VerifyReport, err error) {
	fmt.Fprintln(w, "--- RDB ERROR DETECTED ---")
	fmt.Fprintf(w, "[offset %d] %v\n", rep.Bytes, err)
	p := rep.Failed
	if p == nil {
		return
	}
	fmt.Fprintf(w, "[additional info] While doing: %s\n", p.Doing)
	if p.HasKey {
		fmt.Fprintf(w, "[additional info] Reading key '%s'\n", printable(string(p.Key)))
	}
	if p.HasType {
		fmt.Fprintf(w, "[additional info] Reading type %d (%s)\n", byte(p.Type), p.Type.NameIn(rep.Version))
	}
	fmt.Fprintf(w, "[additional info] In database %d, in the record that begins at offset %d\n", p.DB, p.Start)
}

// printCounts prints the keys that were read, as redis-check-rdb does and then in detail.
func printCounts(w io.Writer, rep *snapshot.VerifyReport) {
	fmt.Fprintf(w, "[info] %d keys read\n[info] %d expires\n[info] %d already expired\n", rep.Keys, rep.Expires, rep.Expired)
	fmt.Fprintf(w, "[info] %d bytes of keys, %d bytes of values, RDB version %d\n", rep.KeyBytes, rep.ValueBytes, rep.Version)
	printTypes(w, "all databases", &rep.Counts, rep.Version)
	for i := range rep.Databases {
		d := &rep.Databases[i]
		fmt.Fprintf(w, "[info] db%d: %s\n", d.DB, countsLine(&d.Counts))
		printTypes(w, "db"+strconv.Itoa(d.DB), &d.Counts, rep.Version)
	}
	if rep.Empty > 0 {
		fmt.Fprintf(w, "[info] %d collections without elements, which a load leaves out\n", rep.Empty)
	}
	if rep.Others > 0 {
		fmt.Fprintf(w, "[info] %d function libraries or module data\n", rep.Others)
	}
}

func countsLine(c *snapshot.Counts) string {
	return fmt.Sprintf("keys=%d,expires=%d,expired=%d", c.Keys, c.Expires, c.Expired)
}

// printTypes prints the keys by type: as TYPE names them, and by how they are stored where that differs.
func printTypes(w io.Writer, where string, c *snapshot.Counts, version int) {
	byType, stored := map[string]int64{}, map[string][]string{}
	for _, t := range c.Types {
		name := t.Type.NameIn(version)
		short, _, _ := strings.Cut(name, "-")
		byType[short] += t.Keys
		if name != short {
			stored[short] = append(stored[short], fmt.Sprintf("%s=%d", name, t.Keys))
		}
	}
	names := make([]string, 0, len(byType))
	for name := range byType {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		detail := ""
		if len(stored[name]) > 0 {
			detail = " (" + strings.Join(stored[name], ",") + ")"
		}
		fmt.Fprintf(w, "[info] %s: %s keys=%d%s\n", where, name, byType[name], detail)
	}
}

// maxPrinted is how many bytes of a key or of metadata are printed.
const maxPrinted = 200

// printable makes a string fit for one line of a terminal.
func printable(s string) string {
	tail := ""
	if len(s) > maxPrinted {
		s, tail = s[:maxPrinted], "..."
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`) + tail
}

// runRepairRDB writes what can be kept of a damaged file. The status is 0 if everything was kept, 2 if
// something is lost or doubtful, 1 if no file was written.
func runRepairRDB(stdout, stderr io.Writer, in, out string, o snapshot.RepairOptions) int {
	ctx, stop := untilSignal()
	defer stop()
	rep, err := snapshot.Repair(ctx, in, out, o)
	if rep.Damage != nil {
		fmt.Fprintf(stdout, "Damage: %v\n", rep.Damage)
		if p := rep.Failed; p != nil {
			key := ""
			if p.HasKey {
				key = fmt.Sprintf(", key '%s'", printable(string(p.Key)))
			}
			fmt.Fprintf(stdout, "  while doing %s in the record that begins at offset %d, database %d%s\n", p.Doing, p.Start, p.DB, key)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "Nothing was written: %v\n", err)
		if errors.Is(err, os.ErrExist) && !o.Force {
			fmt.Fprintln(stderr, "--force replaces an existing file, but never the one to be repaired")
		}
		return 1
	}
	printRepair(stdout, &rep, out)
	if !rep.Whole() {
		return 2
	}
	return 0
}

// printRepair says what was kept and what is lost.
func printRepair(w io.Writer, rep *snapshot.RepairReport, out string) {
	if m := rep.Mended; m != nil {
		fmt.Fprintf(w, "Mended: at offset %d stood %x and it was %x when the file was saved; with that its checksum is right\n",
			m.Offset, m.Was, m.Is)
	}
	fmt.Fprintf(w, "Kept: %s\n", countsLine(&rep.Counts))
	for i := range rep.Databases {
		fmt.Fprintf(w, "  db%d: %s\n", rep.Databases[i].DB, countsLine(&rep.Databases[i].Counts))
	}
	if rep.Others > 0 {
		fmt.Fprintf(w, "  %d function libraries or module data\n", rep.Others)
	}
	for _, l := range rep.Lost {
		fmt.Fprintf(w, "Lost: all from offset %d to %d, %d of the file's %d bytes\n", l.From, l.To, l.To-l.From, rep.Size)
	}
	if rep.Doubtful {
		fmt.Fprintln(w, "Doubtful: everything could be read, but the checksum is wrong or missing: some key or value may not be what was saved")
	}
	if rep.Duplicates > 0 {
		fmt.Fprintf(w, "Left out: %d keys that the file has twice; the first of each was kept\n", rep.Duplicates)
	}
	if rep.Trailing > 0 {
		fmt.Fprintf(w, "Left out: %d bytes behind the end of the file\n", rep.Trailing)
	}
	if rep.Dropped > 0 {
		fmt.Fprintf(w, "Left out: %d keys and the like of types that kvd does not hold\n", rep.Dropped)
	}
	if n := rep.Refused + rep.Others; n > 0 {
		fmt.Fprintf(w, "Note: kvd refuses this file since %d keys and the like are of types that it does not hold; --drop-unsupported leaves them out\n", n)
	}
	fmt.Fprintf(w, "%s: %d bytes, RDB version %d, verified\n", out, rep.Bytes, rep.Version)
}

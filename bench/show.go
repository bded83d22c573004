//go:build linux

package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"kvd/bench/internal/compare"
	"kvd/bench/internal/report"
	"kvd/bench/internal/result"
	"kvd/bench/internal/store"
)

// withRun reads a run of the results and hands it to show.
func withRun(results, id string, show func(*result.Run) error) error {
	s, err := store.OpenReadOnly(results)
	if err != nil {
		return err
	}
	run, err := s.Get(id)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	return show(run)
}

// argument returns the only argument, or def if there is none.
func argument(args []string, def string) (string, error) {
	switch {
	case len(args) == 0 && def == "":
		return "", errors.New("an argument is missing")
	case len(args) == 0:
		return def, nil
	case len(args) > 1:
		return "", fmt.Errorf("unexpected %q", args[1])
	}
	return args[0], nil
}

func listCommand(_ context.Context, args []string) error {
	fs, results := flags("list", "[options]")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("list: unexpected %q", fs.Arg(0))
	}
	s, err := store.OpenReadOnly(*results)
	if err != nil {
		return err
	}
	list, err := s.List()
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSTARTED\tSCENARIOS\tCONTESTANTS\tTRIALS\tLABEL\t")
	for _, r := range list {
		remark := r.Label
		switch {
		case r.Damaged != "":
			remark = "damaged: " + r.Damaged
		case r.Partial != "":
			remark = strings.TrimSpace(remark + " (partial: " + r.Partial + ")")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t\n", r.ID, r.Started.Local().Format("2006-01-02 15:04"),
			strings.Join(r.Scenarios, ","), strings.Join(r.Contestants, ","), r.Trials, remark)
	}
	return w.Flush()
}

func reportCommand(_ context.Context, args []string) error {
	fs, results := flags("report", "[options] [RUN]")
	html := fs.String("html", "", "`file` of the report (default: in the results)")
	markdown := fs.Bool("markdown", false, "print the table as Markdown")
	pictures := fs.String("pictures", "", "`directory` for the charts as SVG files (default: beside the report)")
	if err := fs.Parse(args); err != nil {
		return err
	}
	id, err := argument(fs.Args(), "last")
	if err != nil {
		return err
	}
	return withRun(*results, id, func(run *result.Run) error {
		if *markdown {
			err = report.Markdown(os.Stdout, run)
		} else {
			err = report.Text(os.Stdout, run)
		}
		if err != nil {
			return err
		}
		if *pictures != "" {
			if err := report.WriteCharts(*pictures, run); err != nil {
				return err
			}
		}
		if *html == "" {
			*html = filepath.Join(*results, run.ID+".html")
		}
		return writeReport(*html, run)
	})
}

// writeReport writes the HTML report and, beside it, its charts.
func writeReport(path string, run *result.Run) error {
	err := writeFile(path, func(f *os.File) error { return report.HTML(f, run) })
	if err == nil {
		err = report.WriteCharts(strings.TrimSuffix(path, filepath.Ext(path))+"-charts", run)
	}
	if err != nil {
		return fmt.Errorf("the report: %w", err)
	}
	fmt.Fprintln(os.Stderr, "report:", path)
	return nil
}

// writeFile writes a file as a whole, or not at all.
func writeFile(path string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".bench-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func compareCommand(_ context.Context, args []string) error {
	fs, results := flags("compare", "[options] A[:contestant] B[:contestant]")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() != 2 {
		return errors.New("compare: two runs are wanted: A[:contestant] B[:contestant]")
	}
	idA, nameA := compare.SplitRef(fs.Arg(0))
	idB, nameB := compare.SplitRef(fs.Arg(1))
	return withRun(*results, idA, func(a *result.Run) error {
		return withRun(*results, idB, func(b *result.Run) error {
			r, err := compare.Runs(a, b, nameA, nameB)
			if err != nil {
				return err
			}
			return r.Text(os.Stdout)
		})
	})
}

func exportCommand(_ context.Context, args []string) error {
	fs, results := flags("export", "[options] [RUN]")
	to := fs.String("o", "", "`file` to write, compressed if its name ends in .gz; standard output if none")
	if err := fs.Parse(args); err != nil {
		return err
	}
	id, err := argument(fs.Args(), "last")
	if err != nil {
		return err
	}
	return withRun(*results, id, func(run *result.Run) error {
		if *to == "" {
			return store.WriteJSONL(os.Stdout, run)
		}
		return writeLines(*to, run)
	})
}

// writeLines writes a run as JSON lines, compressed if the name of the file says so.
func writeLines(path string, run *result.Run) error {
	return writeFile(path, func(f *os.File) error {
		if !strings.HasSuffix(path, gzipped) {
			return store.WriteJSONL(f, run)
		}
		z := gzip.NewWriter(f)
		return errors.Join(store.WriteJSONL(z, run), z.Close())
	})
}

// gzipped is how the names of compressed files end.
const gzipped = ".gz"

func importCommand(_ context.Context, args []string) error {
	fs, results := flags("import", "[options] FILE")
	if err := fs.Parse(args); err != nil {
		return err
	}
	path, err := argument(fs.Args(), "")
	if err != nil {
		return err
	}
	run, cut := readLines(path)
	if cut != nil {
		if cut = fmt.Errorf("%s: %w", path, cut); run == nil {
			return cut
		}
		run.Partial = strings.TrimPrefix(run.Partial+"; "+cut.Error(), "; ") // what is before it is not lost
	}
	s, err := store.Open(*results)
	if err != nil {
		return err
	}
	if err := errors.Join(s.Put(run), s.Close()); err != nil {
		return err
	}
	fmt.Println(run.ID)
	return cut
}

// readLines reads a run from a file of JSON lines. With an error it returns what was
// read before it, nil if nothing was.
func readLines(path string) (*result.Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !strings.HasSuffix(path, gzipped) {
		return store.ReadJSONL(f)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return store.ReadJSONL(z)
}

func serveCommand(ctx context.Context, args []string) error {
	fs, results := flags("serve", "[options]")
	addr := fs.String("addr", "localhost:8380", "where to listen; only this machine may be named")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("serve: unexpected %q", fs.Arg(0))
	}
	return report.Serve(ctx, *addr, *results)
}

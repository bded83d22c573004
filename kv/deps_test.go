package kv_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The policy of the repository: which package may import which others. Imports
// run one way, from cmd/kvd down to the arena; kv knows nothing of servers,
// protocols or files. Standard packages are free, but for unsafe.
var policy = map[string]struct {
	project  []string // packages of this module
	external []string // packages of others, with those below them
	// unsafe allows the import of unsafe and raw system calls.
	unsafe bool
}{
	"cmd/kvd":              {project: []string{"kv", "kv/command", "kv/config", "kv/server", "snapshot"}},
	"kv":                   {project: []string{"kv/internal/arena", "kv/internal/cut", "kv/internal/keyspace", "kv/internal/tree", "kv/packed"}},
	"kv/command":           {project: []string{"kv", "kv/config", "kv/internal/glob", "kv/packed", "kv/resp", "snapshot/rdb", "snapshot/value"}},
	"kv/config":            {project: []string{"kv/internal/glob"}, external: []string{"github.com/robfig/cron/v3"}},
	"kv/internal/arena":    {external: []string{"golang.org/x/sys/unix"}, unsafe: true},
	"kv/internal/glob":     {},
	"kv/internal/cut":      {project: []string{"kv/internal/arena"}},
	"kv/internal/keyspace": {project: []string{"kv/internal/arena", "kv/internal/cut"}, unsafe: true},
	"kv/packed":            {},
	"kv/internal/tree":     {project: []string{"kv/internal/arena", "kv/internal/cut"}, unsafe: true},
	"kv/resp":              {external: []string{"github.com/tidwall/redcon"}},
	"kv/server": {
		project:  []string{"kv/command", "kv/config", "kv/resp"},
		external: []string{"golang.org/x/sys/unix"}, unsafe: true,
	},
	"snapshot":               {project: []string{"kv", "kv/packed", "snapshot/internal/fork", "snapshot/rdb", "snapshot/value"}, external: []string{"github.com/robfig/cron/v3", "golang.org/x/sys/unix"}},
	"snapshot/internal/fork": {external: []string{"golang.org/x/sys/unix"}, unsafe: true},
	"snapshot/rdb":           {project: []string{"kv/packed"}, external: []string{"golang.org/x/sys/cpu"}},
	"snapshot/value":         {project: []string{"kv", "snapshot/rdb"}},

	// The benchmark program: servers are measured from outside, so only the
	// servers that it brings along know kvd's packages.
	"bench": {
		project: []string{
			"bench/internal/apart", "bench/internal/compare", "bench/internal/contest", "bench/internal/host", "bench/internal/load",
			"bench/internal/peer", "bench/internal/report", "bench/internal/result", "bench/internal/scenario", "bench/internal/store",
			"bench/internal/trial",
		},
		external: []string{"golang.org/x/term"},
	},
	"bench/internal/apart":    {project: []string{"bench/internal/host", "bench/internal/result"}, external: []string{"github.com/tidwall/redcon", "golang.org/x/sys/unix"}, unsafe: true},
	"bench/internal/compare":  {project: []string{"bench/internal/result"}, external: []string{"github.com/aclements/go-moremath/stats"}},
	"bench/internal/contest":  {project: []string{"bench/internal/scenario"}},
	"bench/internal/host":     {project: []string{"bench/internal/result"}, external: []string{"github.com/tidwall/redcon", "golang.org/x/sys/unix"}},
	"bench/internal/load":     {project: []string{"bench/internal/result"}, external: []string{"github.com/HdrHistogram/hdrhistogram-go", "github.com/tidwall/redcon", "golang.org/x/sys/unix"}},
	"bench/internal/noise":    {}, // tests only
	"bench/internal/peer":     {project: []string{"kv", "kv/command", "kv/config", "kv/server", "snapshot/rdb"}, external: []string{"github.com/cockroachdb/pebble/v2", "golang.org/x/sys/unix"}},
	"bench/internal/report":   {project: []string{"bench/internal/result", "bench/internal/scenario", "bench/internal/store"}, external: []string{"github.com/HdrHistogram/hdrhistogram-go", "gonum.org/v1/plot"}},
	"bench/internal/result":   {},
	"bench/internal/scenario": {project: []string{"bench/internal/load"}},
	"bench/internal/slowdisk": {external: []string{"github.com/hanwen/go-fuse/v2", "golang.org/x/sys/unix"}},
	"bench/internal/store":    {project: []string{"bench/internal/result"}, external: []string{"github.com/cockroachdb/pebble/v2", "golang.org/x/sys/unix"}},
	"bench/spine":             {}, // tests only
	"bench/internal/trial": {
		project: []string{
			"bench/internal/contest", "bench/internal/host", "bench/internal/load", "bench/internal/result", "bench/internal/scenario",
			"bench/internal/slowdisk",
		},
	},
}

// The directories of the top level. bench-results is where the benchmark
// program writes by default; git ignores it.
var topLevel = []string{".git", ".ci", "cmd", "kv", "snapshot", "bench", "bench-results"}

// moduleRoot is the repository, seen from this package's directory.
const moduleRoot = ".."

// sources calls fn for every Go file that is no test, whatever system it is
// for, with the path of its package.
func sources(t *testing.T, fn func(pkg, name string, f *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(moduleRoot, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name != moduleRoot:
			return nil // another package's test has removed it
		case err != nil:
			return err
		case d.IsDir() && name != moduleRoot && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(moduleRoot, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		fn(path.Dir(rel), rel, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportsFollowThePolicy(t *testing.T) {
	seen := map[string]bool{}
	sources(t, func(pkg, name string, f *ast.File) {
		seen[pkg] = true
		rule, ok := policy[pkg]
		if !ok {
			t.Errorf("%s: package %s is not in the policy", name, pkg)
			return
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(imported, "/")
			inner, project := strings.CutPrefix(imported, "kvd/")
			switch {
			case imported == "unsafe":
				if !rule.unsafe {
					t.Errorf("%s imports unsafe", name)
				}
			case imported == "C":
				t.Errorf("%s uses cgo", name)
			case project:
				if !slices.Contains(rule.project, inner) {
					t.Errorf("%s imports %s, which package %s may not", name, imported, pkg)
				}
			case strings.Contains(first, "."):
				if !slices.ContainsFunc(rule.external, func(p string) bool { return imported == p || strings.HasPrefix(imported, p+"/") }) {
					t.Errorf("%s imports %s, which package %s may not", name, imported, pkg)
				}
			}
		}
	})
	for pkg := range policy {
		if !seen[pkg] {
			t.Errorf("the policy has package %s, which does not exist", pkg)
		}
	}
}

// Raw system calls are as delicate as unsafe: the scheduler does not see them.
func TestRawSystemCallsStandWhereUnsafeMay(t *testing.T) {
	sources(t, func(pkg, name string, f *ast.File) {
		if policy[pkg].unsafe {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			from, ok := sel.X.(*ast.Ident)
			if ok && (from.Name == "syscall" || from.Name == "unix") &&
				(strings.HasPrefix(sel.Sel.Name, "Syscall") || strings.HasPrefix(sel.Sel.Name, "RawSyscall")) {
				t.Errorf("%s calls %s.%s", name, from.Name, sel.Sel.Name)
			}
			return true
		})
	})
}

func TestOnlyAgreedDirectories(t *testing.T) {
	entries, err := os.ReadDir(moduleRoot)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch {
		case e.IsDir() && !slices.Contains(topLevel, e.Name()):
			t.Errorf("directory %s at the top level", e.Name())
		case !e.IsDir() && strings.HasSuffix(e.Name(), ".go"):
			t.Errorf("Go file %s at the top level: it has no package there", e.Name())
		}
	}
	commands, err := os.ReadDir(filepath.Join(moduleRoot, "cmd"))
	if err != nil {
		t.Fatal(err)
	}
	if len(commands) != 1 || commands[0].Name() != "kvd" {
		t.Errorf("cmd holds %v, not kvd alone", commands)
	}
}

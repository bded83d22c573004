//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestEmbedding builds a program outside of the module that imports it, as the
// README shows, and runs it. .ci/run does so, too, with the go command alone.
func TestEmbedding(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	noError(t, err)
	dir := shortDir(t)
	source, err := os.ReadFile(filepath.Join("testdata", "embed", "main.go"))
	noError(t, err)
	noError(t, os.WriteFile(filepath.Join(dir, "main.go"), source, 0o600))
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	noError(t, err)
	noError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600))
	var out []byte
	for _, args := range [][]string{
		{"mod", "init", "example.com/embed"},
		{"mod", "edit", "-require=kvd@v0.0.0", "-replace=kvd=" + root},
		{"run", "."},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false", "GOPROXY=off", "GOWORK=off", "CGO_ENABLED=0")
		if out, err = cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	if string(out) != "hello at the cut, hello later now\n" {
		t.Errorf("it printed %q", out)
	}
}

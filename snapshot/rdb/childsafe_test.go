package rdb

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// childFiles are the files that hold the path of the forked child, and the functions in them that do
// not belong to it, or run before the fork.
var childFiles = []string{"encoder.go", "encoder_value.go", "string.go", "lzf.go", "length.go", "opcode.go", "crc64.go"}
var notInChild = map[string]bool{"NewEncoder": true, "Reset": true, "makeCRCTables": true,
	"makeCRCShift": true, "crcPower": true, "moduleName": true, "ReadString": true, "readStringHead": true, "": true}

func TestEncoderAllocatesNothing(t *testing.T) {
	list := edgeEntries()
	keys, values := make([][]byte, len(list)), make([][]byte, len(list))
	for i, x := range list {
		keys[i], values[i] = []byte(x.key), []byte(x.value)
	}
	encoderCases(t, func(t *testing.T, bufSize int, opts EncoderOptions) {
		e := NewEncoder(make([]byte, bufSize), opts)
		sink := new(countSink)
		write := func() {
			e.Reset(sink)
			e.Header()
			e.Aux("redis-ver", "7.0.15")
			e.AuxInt("ctime", 1_700_000_000_000)
			e.SelectDB(1)
			e.ResizeDB(100_000, 1)
			for i := range keys {
				e.String(keys[i], values[i], int64(i))
			}
			e.Footer()
			if e.Err() != nil {
				t.Error(e.Err())
			}
		}
		// Those of the whole process are counted: what fn does itself shows every time.
		allocs := testing.AllocsPerRun(3, write)
		for try := 0; try < 20 && allocs > 0; try++ {
			allocs = min(allocs, testing.AllocsPerRun(3, write))
		}
		if allocs != 0 {
			t.Errorf("%v allocations", allocs)
		}
	})
}

// TestChildSafeSource looks for what the child must not do: in the source, and write barriers in what the
// compiler makes of it.
func TestChildSafeSource(t *testing.T) {
	fset := token.NewFileSet()
	funcs := make(map[string][]*ast.FuncDecl)
	for _, name := range childFiles {
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				funcs[name] = append(funcs[name], fn)
				if !notInChild[fn.Name.Name] {
					checkChildFunc(t, fset, fn)
				}
			}
		}
	}
	out, err := exec.Command("go", "build", "-gcflags=-d=wb=1", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("asking the go command for write barriers: %v\n%s", err, out)
	}
	seen := 0
	for _, m := range regexp.MustCompile(`(?m)^\./(\w+\.go):(\d+):\d+: write barrier`).FindAllSubmatch(out, -1) {
		seen++
		line, _ := strconv.Atoi(string(m[2]))
		for _, fn := range funcs[string(m[1])] {
			if fset.Position(fn.Pos()).Line <= line && line <= fset.Position(fn.End()).Line && !notInChild[fn.Name.Name] {
				t.Errorf("write barrier in %s, %s:%d", fn.Name.Name, m[1], line)
			}
		}
	}
	if seen == 0 {
		t.Error("the compiler reports no write barriers at all, not even in NewEncoder")
	}
}

func checkChildFunc(t *testing.T, fset *token.FileSet, fn *ast.FuncDecl) {
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.DeferStmt, *ast.GoStmt, *ast.FuncLit, *ast.TypeAssertExpr, *ast.TypeSwitchStmt, *ast.MapType,
			*ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
			t.Errorf("%T in %s at %s", n, fn.Name.Name, fset.Position(n.Pos()))
		}
		return true
	})
}

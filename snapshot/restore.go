package snapshot

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"kvd/kv"
)

// RestoreOptions say how to restore. The zero value replaces every database.
type RestoreOptions struct {
	Threads    int  // as LoadOptions.Threads
	NoChecksum bool // do not compare the checksum
	// SkipUnsupported is as in LoadOptions.
	SkipUnsupported bool
	// Only, unless it is nil, is the one database of the file that is restored: it replaces
	// database Into of the store, which becomes empty if the file has no such database.
	Only *int
	Into int // meaningless without Only
	// Progress and Aux are as in LoadOptions, but called by a goroutine of their own.
	Progress func(loaded, total int64)
	Aux      func(name, value string)
}

// Restore replaces the databases of a store, or one of them, by those of an RDB file,
// all at once or not at all, while the store serves: what the file does not have is empty
// afterwards. The keys are loaded into memory beside the data (kv.Stage), which take room
// for both meanwhile; they take the others' place when the whole file has proved sound.
// After an error, which is one of those of Load, or when ctx is done before that, the store
// is as it was. Writes of clients to what is replaced are lost if they come before the
// exchange. A live View keeps the old data. Reading and parsing are done by threads of low
// priority.
func Restore(ctx context.Context, store *kv.Store, path string, o RestoreOptions) (LoadResult, error) {
	start := time.Now()
	if err := roomForThreads("", runtime.GOMAXPROCS(0)+spareThreads); err != nil {
		return LoadResult{}, fmt.Errorf("load %s: %w", path, err)
	}
	f, err := openRegular(path)
	if err != nil {
		return LoadResult{}, fmt.Errorf("load: %w", err)
	}
	defer f.Close()
	stage := store.NewStage()
	defer stage.Close()
	l, err := newLoader(f, stage, LoadOptions{Threads: o.Threads, NoChecksum: o.NoChecksum, SkipUnsupported: o.SkipUnsupported,
		Only: o.Only, Into: o.Into, Progress: o.Progress, Aux: o.Aux}, threadNice)
	if err != nil {
		return LoadResult{}, fmt.Errorf("load: %w", err)
	}
	if err = runNice(ctx, l); err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return l.res, fmt.Errorf("load %s: %w", path, err)
	}
	if o.Only != nil {
		l.res.Removed, _ = stage.Swap(o.Into)
	} else {
		l.res.Removed, _ = stage.Swap()
	}
	l.res.Took = time.Since(start)
	return l.res, nil
}

// runNice runs the load, whose parser gives way to those who serve clients. So do those
// who read the file; the inserters, which wait for both, do not: they hold locks.
func runNice(ctx context.Context, l *loader) error {
	done := make(chan error)
	go onOwnThread(func() {
		lowerPriority(threadNice)
		done <- l.run(ctx)
	})
	return <-done
}

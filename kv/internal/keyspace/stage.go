package keyspace

import (
	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// SetGuard makes the table belong to another shard's guard: tables are filled beside the
// store and then take the place of others. The old guard must hold nothing of the table
// back, and the locks of both shards be held.
func (t *Table) SetGuard(g *cut.Guard) { t.guard = g }

// Detach empties the table and returns the heaps with all that it held, for the caller to
// free. No cut may reach them, and the guard hold nothing of them back.
func (t *Table) Detach() []*arena.Heap {
	heaps := t.Heaps()
	t.reset()
	return heaps
}

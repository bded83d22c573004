// Package tree is the one structure of all collections that are too big for one
// block: a counted B+tree over the arena whose nodes are copied, not changed, while
// a live cut can reach them.
//
// # Nodes
//
// A node is a block of the arena that fits its content: it grows and shrinks by the
// arena's size classes up to 1024 bytes, and then splits; the leaf of a list, up to more
// where its records are larger on average: 2 KiB for more than 16 bytes, 4 KiB for more
// than 32, 8 KiB for more than 160, and 128 records at the most. An inner node and a leaf
// with keys look alike:
//
//	+------+----+----+---+----+----------+----------+---+----------+
//	| head | s0 | s1 |...| sn | record 0 | record 1 |...| record n |
//	+------+----+----+---+----+----------+----------+---+----------+
//	  4      2 bytes each
//
//	head    records (10 bits), bytes of content (13), a code of the block's bytes (8)
//	slot    offset of the record (13 bits), key far, value far, the owner's flag
//	record  leaf, values vary   klen varint | key | value
//	        leaf, values fixed  key | value
//	        inner               separator | child (6 bytes) | count (6 bytes)
//
// The records lie in order, so that one ends where the next begins and no other length
// is stored. The leaf of a list needs none of the slots: who looks for a position counts
// records anyway, and each begins with its length:
//
//	head | varint of length<<1 | flag | value | varint ...
//
// A key or a value of more than 256 bytes lies far, in a block of its own; the record
// has its Ref (6 bytes) and its length (4) instead. So does a value that with its key
// has more than 500, and a separator of more than 120. In a list values of up to 1020
// bytes lie in the leaf; the length of one that is far is given as 8191.
//
// The separator of a child is the shortest prefix of its first key (as of the split)
// that is greater than every key before it; that of a node's first child is empty. The
// count is that of the records below, which makes rank and position O(log n). There are
// no links between neighbours: they could not be kept when paths are copied.
//
// # Changes
//
// A change of one leaf that remains one is written in place, and the counts on its path
// with it (splice). All others (splits, joins, a range deleted) make new nodes bottom
// up from what remains on two paths, until nothing but a link and counts have to
// change (rebuild). In both everything is allocated before anything is changed: after
// ErrNoMemory the Root is what it was.
//
// Delete and DeleteRange need no memory unless nodes on their paths must be copied: not those
// that Put has just been to, even if it has found the record as it is. Where there is none
// for smaller blocks the larger ones stay, what would join a neighbour does not, and
// what is deleted is taken out of the nodes in place (prune).
//
// Records that come in order find the leaf at the tree's end with room for twice what it
// has, and a full leaf stays full when they go on behind it. One of a list then keeps
// as many records as fill a block of some size best (pack).
//
// # Cuts
//
// While a cut is live in a mode that copies, a node that the cut can reach (Guard.Fixed)
// is copied before it is changed, and with it its ancestors; the second change finds
// them copied. In every mode blocks are given up by Guard.Retire, so that a tree opened
// with an old Root shows what it held at the cut.
//
// Get, At, Rank and the cursor take no lock, no memory of Go's and little stack: they
// run in a forked child. They read nothing of the arena but the blocks, for its tables
// are not there.
package tree

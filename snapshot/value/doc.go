// Package value turns the values of a kv.Store into RDB records and back, for whole files
// (package snapshot) and for DUMP and RESTORE (kv/command).
//
//	list    one block: a quicklist of one packed node; trees: nodes of 8 KiB
//	set     an intset as it is; else the members
//	hash    one block as it is; trees: fields and values; with what the version has for it,
//	        if fields expire
//	zset    one block as it is; trees: members and binary scores, ascending
//	stream  its blocks as they are
//
// [Write] runs in the forked child too: it neither allocates nor locks. See package rdb.
//
// The package imports kv, snapshot/rdb and what both have in common.
package value

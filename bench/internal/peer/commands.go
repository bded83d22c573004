//go:build linux

package peer

import (
	"errors"
	"io"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"kvd/kv/command"
)

// rows are the commands of the store. A key of database 0, the only one, is a key
// of pebble. Reads, and writes that do not wait for the disk, are done on the
// event loop; a write of an event loop that pebble holds back (a write stall,
// see INFO) holds back its clients. Writes that wait for the disk do so on a
// goroutine each: pebble gives all that wait together one fsync.
func (s *store) rows() []*command.Spec {
	row := func(name string, h func(x *command.Ctx)) *command.Spec {
		r := command.Row(name)
		r.Lock, r.Handler = command.LockSelf, h
		return r
	}
	return []*command.Spec{
		row("get", s.get), row("mget", s.mget), row("set", s.set), row("del", s.del), row("dbsize", s.dbSize),
	}
}

func (s *store) get(x *command.Ctx) {
	v, closer, err := s.db.Get(x.Args[1])
	switch {
	case err == nil:
		x.Bulk(v)
		s.release(closer)
	case errors.Is(err, pebble.ErrNotFound):
		x.Null()
	default:
		x.Err("ERR " + err.Error())
	}
}

// release ends the use of a value: pebble takes the block back.
func (s *store) release(c io.Closer) {
	if err := c.Close(); err != nil {
		s.log.Error("pebble: after a look-up", "error", err.Error())
	}
}

func (s *store) mget(x *command.Ctx) {
	x.Array(len(x.Args) - 1)
	for _, key := range x.Args[1:] {
		v, closer, err := s.db.Get(key)
		if err != nil { // an error inside an array would be taken for a value
			if !errors.Is(err, pebble.ErrNotFound) {
				s.log.Error("pebble: MGET", "error", err.Error())
			}
			x.Null()
			continue
		}
		x.Bulk(v)
		s.release(closer)
	}
}

func (s *store) set(x *command.Ctx) {
	defer s.endOnPanic()
	if len(x.Args) > 3 { // no expiry, no conditions
		x.Err(textSyntax)
		return
	}
	if len(x.Args[1]) == 0 {
		x.Err(textEmptyKey)
		return
	}
	if !x.Awaiting() && !s.synced.Load() {
		s.reply(x, s.db.Set(x.Args[1], x.Args[2], pebble.NoSync))
		return
	}
	var commit func() (string, error)
	if !x.Awaiting() {
		b := s.db.NewBatchWithSize(len(x.Args[1]) + len(x.Args[2]) + batchRoom)
		if err := b.Set(x.Args[1], x.Args[2], nil); err != nil {
			x.Err("ERR " + err.Error())
			return
		}
		s.busy.Add(1)
		commit = func() (string, error) {
			defer s.busy.Done()
			defer s.endOnPanic()
			if err := b.Commit(pebble.Sync); err != nil {
				return "", err
			}
			return "", b.Close()
		}
	}
	if _, done, err := x.Await(commit); done {
		s.reply(x, err)
	}
}

// textEmptyKey: pebble's columnar tables compare a first key that is empty wrongly
// (its own checks in race builds find that).
const textEmptyKey = "ERR pebble does not keep the empty key"

// batchRoom is more than a batch needs beside a key and a value.
const batchRoom = 64

func (s *store) reply(x *command.Ctx, err error) {
	if err != nil {
		x.Err("ERR " + err.Error())
		return
	}
	x.OK()
}

func (s *store) del(x *command.Ctx) {
	if !x.Awaiting() && !s.synced.Load() {
		n, b, err := s.remove(x.Args[1:], pebble.NoSync)
		if b != nil {
			err = errors.Join(err, b.Close())
		}
		s.replyCount(x, n, err)
		return
	}
	var commit func() (string, error)
	if !x.Awaiting() {
		keys := make([][]byte, len(x.Args)-1)
		for i, k := range x.Args[1:] {
			keys[i] = append([]byte(nil), k...)
		}
		s.busy.Add(1)
		commit = func() (string, error) {
			defer s.busy.Done()
			n, b, err := s.remove(keys, pebble.Sync)
			if err == nil && b != nil {
				err = errors.Join(b.SyncWait(), b.Close())
			}
			return strconv.Itoa(n), err
		}
	}
	if status, done, err := x.Await(commit); done {
		n, _ := strconv.Atoi(status)
		s.replyCount(x, n, err)
	}
}

func (s *store) replyCount(x *command.Ctx, n int, err error) {
	if err != nil {
		x.Err("ERR " + err.Error())
		return
	}
	x.Int(int64(n))
}

// remove deletes those of the keys that exist and tells how many did. With Sync
// the caller must wait for the batch's SyncWait; b is nil if none existed. pebble
// itself deletes without a look, but a client is told a number.
func (s *store) remove(keys [][]byte, o *pebble.WriteOptions) (n int, b *pebble.Batch, err error) {
	defer s.endOnPanic()
	s.delMu.Lock()
	defer s.delMu.Unlock()
	seen := make(map[string]bool, len(keys))
	b = s.db.NewBatch()
	for _, k := range keys {
		_, closer, err := s.db.Get(k)
		if errors.Is(err, pebble.ErrNotFound) || err == nil && seen[string(k)] {
			if closer != nil {
				s.release(closer)
			}
			continue
		}
		if err != nil {
			return 0, nil, errors.Join(err, b.Close())
		}
		s.release(closer)
		seen[string(k)] = true
		if err := b.Delete(k, nil); err != nil {
			return 0, nil, errors.Join(err, b.Close())
		}
		n++
	}
	if n == 0 {
		return 0, nil, b.Close()
	}
	if o.Sync {
		return n, b, s.db.ApplyNoSyncWait(b, o)
	}
	return n, b, s.db.Apply(b, o)
}

// dbSize counts the keys by walking through them: pebble has no number.
func (s *store) dbSize(x *command.Ctx) {
	var count func() (string, error)
	if !x.Awaiting() {
		s.busy.Add(1)
		count = func() (string, error) {
			defer s.busy.Done()
			n, err := s.count()
			return strconv.FormatInt(n, 10), err
		}
	}
	status, done, err := x.Await(count)
	switch {
	case !done:
	case err != nil:
		x.Err("ERR " + err.Error())
	default:
		n, _ := strconv.ParseInt(status, 10, 64)
		x.Int(n)
	}
}

func (s *store) count() (n int64, err error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return 0, err
	}
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	return n, errors.Join(it.Error(), it.Close())
}

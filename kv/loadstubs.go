package kv

func (c *coll) loadHash(r *Record) error   { panic("load") }
func (c *coll) loadList(r *Record) error   { panic("load") }
func (c *coll) loadSet(r *Record) error    { panic("load") }
func (c *coll) loadZset(r *Record) error   { panic("load") }
func (c *coll) loadStream(r *Record) error { panic("load") }

package command

// keyReady notes that a key may have become what a blocked client waits for.
func (x *Ctx) keyReady(db int, key []byte) {}

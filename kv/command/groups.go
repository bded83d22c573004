package command

var (
	hashCommands   []*Spec
	streamCommands []*Spec
)

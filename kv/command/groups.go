package command

var (
	hashCommands   []*Spec
	zsetCommands   []*Spec
	geoCommands    []*Spec
	streamCommands []*Spec
)

package program

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
)

func newNetworkList(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "list [NETWORK]", "List the networks, or the members of one",
		`Lists the networks. With NETWORK it lists its members, and the nodes that are invited.`,
		func(f *fleetCall) error {
			if len(f.args) == 1 {
				return f.app.failed(f.listMembers(f.args[0]))
			}
			return f.app.failed(f.listNetworks())
		})
	return cmd
}

func (f *fleetCall) listNetworks() error {
	list := listing{out: f.out, head: strings.Fields("NETWORK NAME OWNER JOIN MEMBERS PHASE CREATED")}
	now := time.Now()
	for row, err := range client.Rows[rawRow[fleet.Network]](f.ctx, f.api, "/fleet/networks") {
		if err != nil {
			return err
		}
		if f.out.json {
			err = f.out.printJSON(withKey(row.Value.raw, fmt.Sprintf(`"network":%s`, quoted(row.Key))))
		} else {
			n := row.Value.value
			err = list.row(row.Key, string(n.Name), string(n.Owner), string(n.Join),
				fmt.Sprintf("%d of %d", n.Members, n.MaxMembers), n.Phase, age(n.Created.WallMS, now))
		}
		if err != nil {
			return err
		}
	}
	if f.out.json {
		return nil
	}
	return list.flush()
}

// listMembers lists the members of a network, and the nodes with an invitation that
// holds.
func (f *fleetCall) listMembers(network string) error {
	if _, err := getRow[fleet.Network](f, "networks", network); err != nil {
		return f.missing(err, "network "+network, "network list")
	}
	list := listing{out: f.out, head: strings.Fields("NODE ROLE SINCE TAGS")}
	now := time.Now()
	for row, err := range client.Rows[rawRow[fleet.Member]](f.ctx, f.api, "/fleet/members") {
		if err != nil {
			return err
		}
		in, node, _ := strings.Cut(row.Key, ".")
		switch m := row.Value.value; {
		case in != network:
			continue
		case f.out.json:
			err = f.out.printJSON(withKey(row.Value.raw, fmt.Sprintf(`"node":%s`, quoted(node))))
		default:
			err = list.row(node, string(m.Role), age(m.Since.WallMS, now), join(m.Tags))
		}
		if err != nil {
			return err
		}
	}
	for row, err := range client.Rows[rawRow[fleet.Invite]](f.ctx, f.api, "/fleet/invites") {
		if err != nil {
			return err
		}
		node, of, _ := strings.Cut(row.Key, ".")
		i := row.Value.value
		until := time.UnixMilli(int64(i.Expires))
		switch {
		case of != network || !until.After(now):
			continue
		case f.out.json:
			err = f.out.printJSON(withKey(row.Value.raw, fmt.Sprintf(`"node":%s,"invited":true`, quoted(node))))
		default:
			err = list.row(node, "invited as "+string(i.Role), "–", "until "+until.UTC().Format(time.DateOnly))
		}
		if err != nil {
			return err
		}
	}
	if f.out.json {
		return nil
	}
	return list.flush()
}

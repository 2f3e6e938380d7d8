"""Networks that tests are made in."""

from dataclasses import dataclass, field

LAN4, LAN6 = "10.1.0", "fd10:1:"


@dataclass
class Side:
    """One way out of the gateway and the world behind it."""
    name: str        # "isp" or "exit": what the servers call themselves
    router: object   # the next hop; its link to the gateway is gw0, that to the world is up0
    world: object    # all addresses are its own; servers.py runs in it
    ifname: str      # of the gateway
    gw4: str         # the gateway's addresses on it
    gw6: str
    router4: str     # the next hop's
    router6: str


@dataclass
class Gateway:
    net: object
    gw: object
    client: object
    client4: str
    client6: str
    isp: Side
    exit: Side
    sides: dict = field(default_factory=dict)  # by name


def make_side(net, gw, world, ifname, number, l3):
    """The router of a side, and its links. All addresses of a side have its number in them."""
    name = world.name.removeprefix("world_")
    router = net.namespace(name)
    lan4, up4 = f"192.168.{number}", f"100.64.{number}"
    lan6, up6 = f"2001:db8:{number}:", f"2001:db8:{number}0:"
    side = Side(name, router, world, ifname, f"{lan4}.2", f"{lan6}:2", f"{lan4}.1", f"{lan6}:1")

    if l3:
        net.tun_pair(gw, ifname, router, "gw0")
    else:
        net.veth(gw, ifname, router, "gw0")
    gw.address(ifname, f"{side.gw4}/24", f"{side.gw6}/64")
    router.address("gw0", f"{side.router4}/24", f"{side.router6}/64")
    net.veth(router, "up0", world, "down0")
    router.address("up0", f"{up4}.1/24", f"{up6}:1/64")
    world.address("down0", f"{up4}.2/24", f"{up6}:2/64")
    router.forward()
    router.ip(f"route add default via {up4}.2\n"
              f"route add ::/0 via {up6}:2\n"
              f"route add {LAN4}.0/24 via {side.gw4}\n"
              f"route add {LAN6}:/64 via {side.gw6}\n")
    # Linux asks only table local whether an address may be a source, so IPv4 is all
    # there; for IPv6, table main will do.
    world.sysctl("net.ipv6.ip_nonlocal_bind", 1)
    world.ip(f"route add {up4}.0/24 dev down0 table local\n"
             f"route add {lan4}.0/24 via {up4}.1 table local\n"
             f"route add {LAN4}.0/24 via {up4}.1 table local\n"
             f"route add local default dev lo table local\n"
             f"route add {lan6}:/64 via {up6}:1\n"
             f"route add {LAN6}:/64 via {up6}:1\n"
             f"route add local ::/0 dev lo table main\n")
    return side


def gateway_topology(net, l3=False):
    """A gateway with two ways out, each to a world of its own.

                                           gw0 +-------+ up0    down0 +-----------+
                                       .-------|  isp  |--------------| world_isp |
        +--------+ eth0    lan0 +----+ | eth0  +-------+              +-----------+
        | client |--------------| gw |-+ 192.168.7.2   .1  100.64.7.1   .2  any address
        +--------+ .2        .1 +----+ | vpn0  +-------+              +-----------+
           10.1.0.0/24                 '-------| exit  |--------------| world_exit|
           fd10:1::/64                   gw0   +-------+ up0    down0 +-----------+
                                    192.168.8.2        .1  100.64.8.1   .2  any address
        IPv6: 2001:db8:7::2 - ::1, 2001:db8:70::1 - ::2; 8 and 80 for the exit

    In both worlds every address is local: a server there answers whatever address was asked, and
    says which world it is and from whom the question came. Routers and worlds know the way back
    to the LAN, so that what leaves untranslated is answered, and seen, too. The default route of
    the gateway, which forwards, leads to isp; nothing is translated.

    l3: vpn0 and the exit's gw0 are TUN devices, without Ethernet headers.
    """
    worlds = [net.namespace("world_isp"), net.namespace("world_exit")]
    ready = [world.serve(world.name.removeprefix("world_")) for world in worlds]
    gw, client = net.namespace("gw"), net.namespace("client")
    net.veth(client, "eth0", gw, "lan0")
    client.address("eth0", f"{LAN4}.2/24", f"{LAN6}:2/64")
    gw.address("lan0", f"{LAN4}.1/24", f"{LAN6}:1/64")
    client.ip(f"route add default via {LAN4}.1\nroute add ::/0 via {LAN6}:1\n")
    gw.forward()
    isp = make_side(net, gw, worlds[0], "eth0", 7, False)
    out = make_side(net, gw, worlds[1], "vpn0", 8, l3)
    use_side(gw, isp)
    for wait in ready:
        wait()
    return Gateway(net, gw, client, f"{LAN4}.2", f"{LAN6}:2", isp, out,
                   {"isp": isp, "exit": out})


def use_side(gw, side):
    gw.ip(f"route replace default via {side.router4} dev {side.ifname}\n"
          f"route replace ::/0 via {side.router6} dev {side.ifname}\n")


def kernel_gateway(topology, side="isp"):
    """The kernel's own forwarding with masquerade by one side: what Sluice is compared with."""
    chosen = topology.sides[side]
    use_side(topology.gw, chosen)
    topology.gw.nft(f'''
        table inet kernel_gateway
        delete table inet kernel_gateway
        table inet kernel_gateway {{
            chain out {{
                type nat hook postrouting priority srcnat
                oifname "{chosen.ifname}" masquerade
            }}
        }}''')

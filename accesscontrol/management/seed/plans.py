"""What the two demo tenants consist of. Nobody here exists: example.com addresses, numbers reserved for fiction."""

from dataclasses import dataclass
from datetime import time

from accesscontrol.doors.models import Channel

IN, OUT, BOTH = Channel.Direction.IN, Channel.Direction.OUT, Channel.Direction.NONE
WEEKDAYS, EVERY_DAY = range(5), range(7)


@dataclass(frozen=True)
class SitePlan:
    name: str
    time_zone: str
    address: str
    help_phone: str


@dataclass(frozen=True)
class DoorPlan:
    name: str
    site: str
    direction: str = IN
    is_visitor_door: bool = False
    pin_lengths: tuple[int, int] = (4, 8)


@dataclass(frozen=True)
class HoursPlan:
    name: str
    weekdays: range
    start: time
    end: time


@dataclass(frozen=True)
class RolePlan:
    name: str
    doors: tuple[str, ...]
    hours: str | None = None


@dataclass(frozen=True)
class Routine:
    """What a day's events are made from: where somebody comes in, goes to and leaves, and about when."""

    enters: str
    leaves: str
    visits: tuple[str, ...] = ()
    arrives: time = time(8, 20)
    minutes: int = 510
    weekdays: range = WEEKDAYS


@dataclass(frozen=True)
class StaffPlan:
    """People of one kind; `names` holds "First Last, job title" by line."""

    site: str
    department: str
    language: str
    mobile: str
    groups: tuple[str, ...]
    routine: Routine
    names: str
    roles: tuple[str, ...] = ()
    with_card: bool = False


@dataclass(frozen=True)
class VisitorPlan:
    """A visit of some hours: on a morning so many days from now (before it, where negative), or 0 for today.

    Today's starts so many hours from now; who `came` is here, who `went` has left again.
    """

    name: str
    days: int
    hours: float
    doors: tuple[str, ...] | None = None
    language: str = "en"
    starts_in: float = -1
    host: str = ""
    came: bool = False
    went: bool = False


@dataclass(frozen=True)
class TenantPlan:
    name: str
    slug: str
    time_zone: str
    system_id: str
    colour: str
    alarms_to: str
    sites: tuple[SitePlan, ...]
    doors: tuple[DoorPlan, ...]
    hours: tuple[HoursPlan, ...]
    roles: tuple[RolePlan, ...]
    groups: dict[str, tuple[str, ...]]
    staff: tuple[StaffPlan, ...]
    visitors: tuple[VisitorPlan, ...]


ACME = TenantPlan(
    name="Acme",
    slug="acme",
    time_zone="Europe/Berlin",
    system_id="A",
    colour="#0b6b74",
    alarms_to="security@acme.example.com",
    sites=(
        SitePlan("Berlin Office", "Europe/Berlin", "Musterstraße 12, 10115 Berlin", "+493023125100"),
        SitePlan("New York Office", "America/New_York", "350 Sample Avenue, New York, NY 10001", "+12125550100"),
        SitePlan("Leipzig Warehouse", "Europe/Berlin", "Beispielweg 3, 04109 Leipzig", "+493023125180"),
    ),
    doors=(
        DoorPlan("Front Door", "Berlin Office", is_visitor_door=True),
        DoorPlan("Lab", "Berlin Office"),
        DoorPlan("Front Door Exit", "Berlin Office", OUT),
        DoorPlan("Server Room", "Berlin Office", pin_lengths=(6, 8)),
        DoorPlan("Car Park Gate", "Berlin Office", BOTH, pin_lengths=(4, 6)),
        DoorPlan("Lobby", "New York Office", is_visitor_door=True),
        DoorPlan("Lobby Exit", "New York Office", OUT),
        DoorPlan("12th Floor", "New York Office"),
        DoorPlan("Loading Dock", "Leipzig Warehouse", pin_lengths=(4, 6)),
        DoorPlan("Staff Entrance", "Leipzig Warehouse"),
        DoorPlan("Staff Exit", "Leipzig Warehouse", OUT),
    ),
    hours=(
        HoursPlan("Office hours", WEEKDAYS, time(6, 30), time(20)),
        HoursPlan("Night shift", WEEKDAYS, time(21, 30), time(6, 30)),
        HoursPlan("Cleaning", WEEKDAYS, time(19), time(23)),
        HoursPlan("Deliveries", range(6), time(7), time(17)),
    ),
    roles=(
        RolePlan("Berlin, office hours", ("Front Door", "Front Door Exit", "Car Park Gate"), "Office hours"),
        RolePlan("New York, office hours", ("Lobby", "Lobby Exit", "12th Floor"), "Office hours"),
        RolePlan("Laboratory", ("Lab",), "Office hours"),
        RolePlan("Cleaning, Berlin", ("Front Door", "Front Door Exit", "Lab"), "Cleaning"),
        RolePlan("Warehouse, nights", ("Staff Entrance", "Staff Exit", "Loading Dock"), "Night shift"),
        RolePlan("Deliveries", ("Loading Dock",), "Deliveries"),
        RolePlan(
            "All technical rooms, always",
            ("Front Door", "Front Door Exit", "Lab", "Server Room", "Lobby", "Lobby Exit", "12th Floor"),
        ),
    ),
    groups={
        "Staff": ("Berlin, office hours",),
        "Staff New York": ("New York, office hours",),
        "Cleaners": ("Cleaning, Berlin",),
        "IT": ("All technical rooms, always",),
        "Warehouse": ("Warehouse, nights",),
    },
    staff=(
        StaffPlan(
            "Berlin Office",
            "Sales",
            "de",
            "+4917139200",
            ("Staff",),
            Routine("Front Door", "Front Door Exit"),
            """Anna Becker, Head of Sales
            Jonas Hoffmann, Account Manager
            Leyla Yılmaz, Account Manager
            Piotr Nowak, Account Manager
            Greta Lindner, Sales Assistant
            Thomas Köhler, Key Account Manager""",
        ),
        StaffPlan(
            "Berlin Office",
            "Research",
            "de",
            "+4917139200",
            ("Staff",),
            Routine("Front Door", "Front Door Exit", ("Lab", "Lab"), arrives=time(8, 45)),
            """Miriam Vogel, Head of Research
            Felix Brandt, Chemist
            Oksana Kovalenko, Chemist
            Ravi Sharma, Laboratory Engineer
            Sophie Keller, Laboratory Technician""",
            roles=("Laboratory",),
            with_card=True,
        ),
        StaffPlan(
            "Berlin Office",
            "Finance",
            "de",
            "+4917139200",
            ("Staff",),
            Routine("Car Park Gate", "Front Door Exit", arrives=time(7, 40)),
            """Katrin Schulz, Head of Finance
            Emre Demir, Controller
            Helene Fuchs, Accountant
            Lukas Wagner, Accountant""",
        ),
        StaffPlan(
            "Berlin Office",
            "IT",
            "en",
            "+4917139200",
            ("Staff", "IT"),
            Routine("Front Door", "Front Door Exit", ("Server Room",), arrives=time(9, 10), weekdays=range(6)),
            """Nadia Rahmani, Head of IT
            Ben Fischer, System Administrator
            Chloé Martin, Network Engineer""",
            with_card=True,
        ),
        StaffPlan(
            "Berlin Office",
            "Facilities",
            "es",
            "+4917139200",
            ("Cleaners",),
            Routine("Front Door", "Front Door Exit", ("Lab",), arrives=time(19, 10), minutes=150),
            """Carmen Ruiz, Cleaner
            Dragan Petrović, Cleaner
            Fatima Haddad, Cleaner""",
        ),
        StaffPlan(
            "New York Office",
            "Customer Success",
            "en",
            "+121255501",
            ("Staff New York",),
            Routine("Lobby", "Lobby Exit", ("12th Floor",), arrives=time(8, 35)),
            """Olivia Brooks, Head of Customer Success
            Marcus Reed, Customer Success Manager
            Sofía Delgado, Customer Success Manager
            Wei Zhang, Solutions Engineer
            Hannah Cole, Office Manager
            Daniel Okafor, Solutions Engineer
            Grace Kim, Trainer""",
        ),
        StaffPlan(
            "Leipzig Warehouse",
            "Logistics",
            "de",
            "+4917139200",
            ("Warehouse",),
            Routine("Staff Entrance", "Staff Exit", ("Loading Dock",), arrives=time(21, 40), minutes=450),
            """Uwe Zimmermann, Shift Leader
            Marta Wójcik, Warehouse Worker
            Ali Rezaei, Warehouse Worker
            Sandra Krause, Warehouse Worker
            Tomáš Dvořák, Warehouse Worker""",
        ),
    ),
    visitors=(
        VisitorPlan("Peter Lang", -24, 4, language="de"),
        VisitorPlan("Julia Sommer", -17, 6, language="de"),
        VisitorPlan("Amir Nazari", -9, 3, ("Front Door", "Lab")),
        VisitorPlan("Claire Dubois", -3, 5),
        VisitorPlan("Hugo Fernández", -1, 4, language="es"),
        VisitorPlan("Li Na", 0, 5, ("Front Door", "Lab"), language="zh-hans", host="Miriam Vogel", came=True),
        VisitorPlan("Sarah Whitfield", 0, 8, ("Lobby", "12th Floor"), host="Hannah Cole", came=True),
        VisitorPlan("Emil Krüger", 0, 3, ("Front Door",), language="de", host="Anna Becker", came=True),
        VisitorPlan("Nina Castellano", 0, 1, ("Front Door",), starts_in=-2, host="Katrin Schulz", came=True, went=True),
        VisitorPlan("Oscar Lindqvist", 0, 4, ("Front Door",), starts_in=0.5, host="Jonas Hoffmann"),
        VisitorPlan("Mei Tanaka", 0, 2, ("Front Door", "Lab"), starts_in=1.5, host="Ravi Sharma"),
        VisitorPlan("Tobias Reuter", 0, 1.5, ("Front Door",), language="de", starts_in=-1.8, host="Greta Lindner"),
        VisitorPlan("Markus Engel", 1, 4, language="de"),
        VisitorPlan("Ingrid Solberg", 3, 30),
        VisitorPlan("Paul Mercier", 8, 3, ("Front Door", "Lab")),
    ),
)

GLOBEX = TenantPlan(
    name="Globex",
    slug="globex",
    time_zone="Europe/London",
    system_id="G",
    colour="#7a3e9d",
    alarms_to="house@globex.example.com",
    sites=(SitePlan("London Studio", "Europe/London", "1 Example Yard, London E1 6AN", "+442079460100"),),
    doors=(
        DoorPlan("Main Entrance", "London Studio", is_visitor_door=True),
        DoorPlan("Archive", "London Studio"),
        DoorPlan("Main Exit", "London Studio", OUT),
    ),
    hours=(HoursPlan("Studio hours", EVERY_DAY, time(7), time(22)),),
    roles=(
        RolePlan("Studio", ("Main Entrance", "Main Exit"), "Studio hours"),
        RolePlan("Archive", ("Archive",), "Studio hours"),
    ),
    groups={"Staff": ("Studio",), "Archivists": ("Archive",)},
    staff=(
        StaffPlan(
            "London Studio",
            "Design",
            "en",
            "+4477009000",
            ("Staff",),
            Routine("Main Entrance", "Main Exit", arrives=time(9, 15)),
            """Amelia Wright, Creative Director
            Noah Patel, Designer
            Isla Murray, Designer
            Kwame Mensah, Illustrator
            Freya Hughes, Producer""",
        ),
        StaffPlan(
            "London Studio",
            "Archive",
            "en",
            "+4477009000",
            ("Staff", "Archivists"),
            Routine("Main Entrance", "Main Exit", ("Archive",), arrives=time(8, 50)),
            """Edward Lowe, Archivist
            Yuki Tanaka, Archivist""",
            with_card=True,
        ),
    ),
    visitors=(
        VisitorPlan("Rosa Bianchi", -8, 3),
        VisitorPlan("Callum Stewart", 0, 6, host="Freya Hughes", came=True),
        VisitorPlan("Zoe Anders", 2, 4),
    ),
)

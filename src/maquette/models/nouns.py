"""What objects are called: from the names of assets to the nouns that captions use.

Names of assets are what artists call their files ("house-interior-pack-bookshelf",
"chair-1a2b3c4d"). Their head noun is the last known one; words up to "pack", "kit" or "bits" name a
collection and count only when nothing else does. Rare things share a noun with what they look like
from a distance, so that every noun has many pictures.
"""

from __future__ import annotations

import re

OBJECT = "object"  # what has no known noun
COLLECTIONS = ("pack", "kit", "bits")

# noun: other words for it, and things that look like it. Words that are adjectives more often than
# not ("orange") are left out.
_LEXICON = """
chair: seat stool armchair ottoman recliner
sofa: couch lounge
bench:
table: desk kitchentable workbench
bed: bunk mattress
shelf: bookcase bookshelf shelves rack weaponrack dishrack
cabinet: dresser drawer drawers closet wardrobe kitchencabinet cupboard nightstand
counter: kitchencounter countertop sink kitchensink reception nursesstation
fridge: refrigerator freezer
oven: stove microwave dishwasher washer dryer woodfire washing fireplace
toilet: bathtub shower urinal
lamp: light lantern streetlight candle candles candelabrum chandelier torch spotlight flashlight
 torchlight
television: tv monitor screen
computer: laptop keyboard console tablet radio speaker
book: books spellbook tome magazine menu
box: crate boxes crates package carton cardboard chest container lootbox trunk case safe cargo
barrel: keg drum cask
bucket: trashcan trash dumpster bin basket wastebasket cauldron tub
bottle: flask shampoo ketchup jar wine
potion:
cup: mug glass chalice
bowl: dish pan saucepan pot frypan wok
plate: saucer tray
teapot: kettle
vase: urn
can: soda tin canister
knife: fork spoon spatula utensil whisk scissors
bag: sack backpack pouch quiver pillow cushion
clock: watch alarm
door: doorway gate doors trapdoor
window: mirror pictureframe frame painting plaque whiteboard
wall: barrier fence railing hedge fenced barricade
stairs: staircase ladder steps ramp
column: pillar pole post pedestal obelisk truss beam
sign: billboard signage banner target plaque
flag:
house: building cabin barn farm inn tavern shop market church castle barracks mill lumbermill
 windmill watermill blacksmith temple garage school hospital hangar apartment houses buildings
 sawmill crypt archery basemodule stable monastery
tower: watchtower silo lighthouse chimney skyscraper
tent: igloo awning canopy
bridge: dock pier platform platforms
arch: portal tunnel
statue: monument gravestone gravemarker grave headstone shrine idol
coffin:
block: brick cube bricks blocks
ball: sphere orb globe planet moon marble meteor
ring: coin heart star gem diamond crystal key crown necklace badge
car: taxi suv sedan hatchback van ambulance cop prius rover vehicle
truck: tractor spacetruck trailer wagon cart firetruck tender lorry
bus:
train: locomotive tram
boat: ship raft lifeboat canoe
plane: airplane cessna aircraft spitfire helicopter
spaceship: rocket ufo lander spaceships craft
tank: turret cannon mech
bicycle: motorcycle bike
gun: pistol rifle shotgun revolver smg sniper blaster guns laser ar launcher
sword: dagger katana scimitar sabel blade spear claymore
axe: hammer pickaxe shovel wrench tool saw scythe screwdriver
bow: crossbow arrow arrows
shield:
helmet: hat fedora armor cap
wand: staff
bomb: grenade mine landmine dynamite
tree: trees pine birch palm willow oak stump log bamboo
bush: shrub
plant: houseplant crop wheat corn grass bamboo waterplant crops
flower: flowers rose tulip
cactus:
mushroom: mushrooms
rock: rocks stone ore cliff boulder mineral mountain hill hills rubble debris
cloud: smoke
pumpkin: jackolantern
apple: fruit cherry peach pear cherries tomato lemon grapes
banana:
carrot: vegetable vegetables radish beet potato onion pepper eggplant leek cucumber cabbage
 lettuce broccoli salad
bread: loaf baguette croissant bun toast
cake: pie cupcake donut muffin pudding pancakes
burger: sandwich hotdog taco
pizza:
cheese: butter
meat: steak ham sausage chicken bacon turkey
food: stew soup rice sushi fries popsicle icecream ice chocolate cookie candy waffle egg maki
 ingredient
fish: shark whale dolphin tuna salmon piranha koi blobfish clownfish catfish anglerfish swordfish
 puffer manta
bird: parrot pigeon duck penguin flamingo eagle seagull chick
dog: wolf fox husky pug
cat: lion tiger panther
horse: zebra donkey unicorn deer stag elk quadruped
cow: bull pig sheep alpaca llama goat
bear: panda koala
frog: snake lizard turtle
dinosaur: dinosaurs velociraptor trex triceratops stegosaurus apatosaurus parasaurolophus dragon
spider: crab scorpion
bee: wasp insect bug
monster: monsters demon alien ghost orc goblin enemy zombie yeti slime blob imp evolved enemies
robot: android cyborg servicebot
person: man woman men women male female character characters soldier knight ninja pirate king
 worker astronaut wizard witch mage human adventurer cowboy viking figure boy girl barbarian rogue
 animals
skeleton: skull bone bones skeletons
snowman:
pipe: tube pipes hose vent cable
wheel: tire tires gear
cone: pylon trafficlight spike spikes hydrant
antenna: satellite radar telescope camera
shoe: boot sneakers sandal cleats
"""


def _lexicon() -> dict[str, str]:
    """Word -> noun."""
    found: dict[str, str] = {}
    for entry in _LEXICON.replace("\n ", " ").strip().splitlines():
        noun, _, others = entry.partition(":")
        for word in (noun, *others.split()):
            found.setdefault(word, noun)
    return found


WORDS: dict[str, str] = _lexicon()
NOUNS: tuple[str, ...] = (OBJECT, *dict.fromkeys(WORDS.values()))


def synonyms(noun: str) -> tuple[str, ...]:
    """All words that stand for a noun, itself first."""
    return (noun, *(word for word, meant in WORDS.items() if meant == noun and word != noun))


def noun_of(name: str) -> str:
    """The noun for an asset of this name, ``OBJECT`` when it says nothing known.
    "house-interior-pack-bunk-bed-2" is a "bed".
    """
    words = re.findall("[a-z]+", name.lower())
    cut = max((position for position, word in enumerate(words) if word in COLLECTIONS), default=-1)
    for part in (words[cut + 1 :], words[: max(cut, 0)]):
        for word in reversed(part):
            for form in (word, word.removesuffix("s")):
                if form in WORDS:
                    return WORDS[form]
    return OBJECT

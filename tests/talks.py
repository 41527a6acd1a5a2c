"""A conversation over four months, written for tests: of a garden and a choir at first, of a marathon in the end."""

from datetime import datetime, timedelta
from typing import Any

from tests.conftest import START

Json = dict[str, Any]

SITTINGS = {
    0: """
        Hi! I started a vegetable garden behind the house last week.
        That sounds great! What did you plant in the garden?
        Tomatoes and beans so far. The garden soil is heavy clay, so I am digging in compost.
        Compost helps clay soil a lot. Do the tomatoes get enough sun?
        The tomatoes get six hours of sun. I also joined a choir, we rehearse on Tuesdays.
        A choir! Which pieces does the choir rehearse?
        Mostly folk songs. The choir sings in the church in June.
        Lovely. And who waters the garden while you rehearse?
    """,
    9: """
        The beans are up! Snails ate two of the tomatoes, though.
        Oh no. Snails love young tomatoes. A copper band around the garden bed keeps snails off.
        I will try copper. The compost is full of worms, which is good, I think.
        Worms in the compost are a very good sign.
        The choir got a new conductor. She wants us to learn a mass by Haydn.
        Haydn is a step up from folk songs! How does the choir like the conductor?
        They grumble, but the rehearsal was the best so far.
        Then the concert in June will be something.
    """,
    27: """
        We picked the first beans from the garden today. Two bowls!
        Two bowls of beans, well done! And the tomatoes?
        The tomatoes are green still. The copper keeps the snails off, thank you for that.
        Glad it works. Did you put more compost on the bed?
        Yes, compost and a little straw. The garden smells of it.
        Straw keeps the soil moist as well.
        The choir concert is in two weeks. Haydn keeps me awake at night.
        You know the mass well by now. The concert will go well.
    """,
    48: """
        The choir concert is over and the church was full! Haydn went well.
        Congratulations to the choir! What did the conductor say?
        The conductor cried a little. We sing the mass again in autumn.
        Wonderful. And the garden?
        Tomatoes every day. I gave a basket of tomatoes to the conductor.
        The garden feeds a choir, then.
        Almost! The beans are over, I pulled them and dug in compost.
        Good for the soil. Rest the bed until autumn.
    """,
    90: """
        Something new: I signed up for the marathon in October.
        A marathon! What does your training plan look like?
        Four runs a week. The long run on Sunday is eighteen kilometres now.
        Eighteen kilometres is a serious long run. How do your knees feel after the training?
        My knees are fine, my shoes are not. I need new running shoes for the marathon.
        Go to a shop where they watch you run. Old shoes ruin knees.
        I will. The marathon training eats all my evenings.
        Does the choir still see you on Tuesdays?
    """,
    95: """
        Eighteen kilometres again, and it rained. The new shoes arrive tomorrow.
        Running in the rain counts double. Which shoes did you choose?
        A pair with a wide toe box. The marathon course is all asphalt.
        Asphalt is hard on the legs, so the shoes matter even more.
        Intervals on the track tomorrow, then rest.
        Intervals make the marathon pace feel slow. Good training.
        That is the plan, at least. I want to finish the marathon in four hours.
        Four hours is a fine goal for a first marathon.
    """,
    101: """
        The long run was twenty-four kilometres today! The new shoes are a dream.
        Twenty-four kilometres! Good shoes are half the marathon.
        My training plan says thirty kilometres next. That scares me.
        Slow down on the long run and it will go. What do you eat before a marathon?
        Porridge. During the long run I take dates and water.
        Dates are good. Try everything in training, nothing new in the marathon itself.
        The marathon is in three weeks. Should I rest in the last one?
        Yes: half the training in the last week, and sleep.
    """,
}
"""What was said on which day; the person began, and they took turns."""


def sitting(day: int) -> list[Json]:
    """The messages of one day, as they are sent."""
    lines = [line.strip() for line in SITTINGS[day].strip().splitlines()]
    began = said_at(day)
    return [
        {
            "role": "assistant" if number % 2 else "user",
            "content": line,
            "created_at": (began + timedelta(minutes=number)).isoformat(),
        }
        for number, line in enumerate(lines)
    ]


def said_at(day: int) -> datetime:
    return START + timedelta(days=day)

//! All conversations: those that are open, in the order of their next steps, and those that ended,
//! as long as they are kept.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use super::config::Config;
use super::conversation::{Conversation, Customer, Phase};
use super::random::{Random, Uuid};
use super::script::{self, Step};
use super::words::{Direction, Media};

const NAMES: [&str; 8] = [
    "Ada", "Grace", "Edsger", "Barbara", "Alan", "Radia", "Donald", "Frances",
];
/// Steps of a conversation that nobody ends are bounded by the script, so by this at the most.
pub(super) const MAX_STEPS: u32 = 200;
/// Conversations that clients may have open at once through Open Messaging.
const MAX_FOREIGN: usize = 10_000;

pub(super) struct Timeline {
    conversations: HashMap<Uuid, Conversation>,
    /// When a conversation's next step is due, on a scale of its own: steps are taken at a rate, and
    /// this decides whose it is.
    due: BinaryHeap<Reverse<(u64, u64, Uuid)>>,
    /// The due time of the step taken last.
    reached: u64,
    ended: VecDeque<Uuid>,
    kept: usize,
    at_once: usize,
    open: usize,
    foreign: usize,
    begun: u64,
    seed: u64,
    random: Random,
    queues: u32,
    users: u32,
    step: u64,
}

impl Timeline {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            conversations: HashMap::new(),
            due: BinaryHeap::new(),
            reached: 0,
            ended: VecDeque::new(),
            kept: config.kept,
            at_once: config.at_once(),
            open: 0,
            foreign: 0,
            begun: 0,
            seed: config.seed,
            random: Random::new(config.seed, 1),
            queues: config.queues,
            users: config.users,
            step: 0,
        }
    }

    /// Takes the step that is due. Answers the conversation, now a step further, and what happened.
    pub(super) fn advance(&mut self, now: i64) -> Option<(&mut Conversation, Step)> {
        while self.open < self.at_once {
            self.begin(now);
        }
        let Reverse((due, _, id)) = self.due.pop()?;
        self.reached = due;
        let conversation = self.conversations.get_mut(&id)?;
        let was_over = conversation.phase == Phase::Ended;
        let (step, pause) = match was_over {
            // Ended by REST in the meantime, and told.
            true => {
                conversation
                    .participants
                    .iter_mut()
                    .for_each(|one| one.fresh = false);
                (Step::new(), 0.0)
            }
            false if conversation.steps >= MAX_STEPS => {
                (script::disconnect(conversation, now), 0.0)
            }
            false => script::advance(conversation, self.users, now),
        };
        if conversation.phase == Phase::Ended {
            let foreign = conversation.foreign;
            self.retire(id, foreign);
        } else {
            self.step += 1;
            let due = due + (pause * 1_000.0) as u64;
            self.due.push(Reverse((due, self.step, id)));
        }
        self.conversations.get_mut(&id).map(|it| (it, step))
    }

    fn begin(&mut self, now: i64) {
        self.begun += 1;
        let id = Uuid::numbered(self.seed, 2, self.begun);
        let mut random = Random::new(self.seed, 1_000 + self.begun);
        let media = match random.below(100) {
            0..65 => Media::Call,
            65..88 => Media::Message,
            88..96 => Media::Email,
            _ => Media::Callback,
        };
        let direction = match media == Media::Call && random.share(0.1) {
            true => Direction::Outbound,
            false => Direction::Inbound,
        };
        let queue = random.below(u64::from(self.queues)) as u32;
        let customer = customer(&mut random, media);
        // The first ones do not all begin together.
        let wait = if self.begun <= self.at_once as u64 {
            240.0
        } else {
            20.0
        };
        let due = self.reached + (self.random.between(0.0, wait) * 1_000.0) as u64;
        let conversation = Conversation::new(id, media, direction, queue, customer, random, now);
        self.open += 1;
        self.insert(conversation, due);
    }

    /// One that a client began. It goes on among the others.
    pub(super) fn begin_foreign(
        &mut self,
        direction: Direction,
        queue: u32,
        customer: Customer,
        now: i64,
    ) -> Option<Uuid> {
        if self.foreign >= MAX_FOREIGN {
            return None;
        }
        self.foreign += 1;
        // A stream of their own: what clients do leaves the generated story as it is.
        let number = (1 << 40) + self.step + self.foreign as u64 + self.ended.len() as u64;
        let id = Uuid::numbered(self.seed, 3, number);
        let random = Random::new(self.seed, number);
        let mut conversation = Conversation::new(
            id,
            Media::Message,
            direction,
            queue % self.queues,
            customer,
            random,
            now,
        );
        conversation.foreign = true;
        let due = self.reached;
        self.insert(conversation, due);
        Some(id)
    }

    fn insert(&mut self, conversation: Conversation, due: u64) {
        self.step += 1;
        self.due.push(Reverse((due, self.step, conversation.id)));
        self.conversations.insert(conversation.id, conversation);
    }

    /// What ended is kept for a while, since clients ask for it after the fact.
    fn retire(&mut self, id: Uuid, foreign: bool) {
        match foreign {
            true => self.foreign -= 1,
            false => self.open -= 1,
        }
        self.ended.push_back(id);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.before = None;
            conversation.participants.shrink_to_fit();
        }
        // The one just ended is still to be told, so one more is kept.
        while self.ended.len() > self.kept + 1
            && let Some(oldest) = self.ended.pop_front()
        {
            self.conversations.remove(&oldest);
        }
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Conversation> {
        self.conversations.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: Uuid) -> Option<&mut Conversation> {
        self.conversations.get_mut(&id)
    }

    /// In no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Conversation> {
        self.conversations.values()
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    pub(super) fn open(&self) -> usize {
        self.open + self.foreign
    }
}

fn customer(random: &mut Random, media: Media) -> Customer {
    let name = random.pick(&NAMES).unwrap_or("Ada");
    let number = random.below(10_000);
    let address = match media {
        Media::Call | Media::Callback => format!("tel:+1555010{number:04}"),
        Media::Email => format!("{}{number}@example.org", name.to_lowercase()),
        Media::Message => format!("open-{number}"),
    };
    Customer {
        name: format!("{name} Example"),
        address,
    }
}

impl Conversation {
    fn new(
        id: Uuid,
        media: Media,
        direction: Direction,
        queue: u32,
        customer: Customer,
        random: Random,
        now: i64,
    ) -> Self {
        Self {
            id,
            media,
            direction,
            start: now,
            end: None,
            queue,
            customer,
            participants: Vec::with_capacity(4),
            attributes: String::new(),
            said: Vec::new(),
            steps: 0,
            foreign: false,
            random,
            phase: Phase::Arriving,
            tries: 0,
            reopened: false,
            before: None,
        }
    }
}

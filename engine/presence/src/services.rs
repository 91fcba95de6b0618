//! Merging: tuples where they agree, persons and devices always.

use std::collections::BTreeSet;

use xml::Element;

use crate::component::{
    Component, Kind, Slot, build, canonical, contradict, first_of_each, notes, slots, timestamp_of,
};

/// How many merged tuples a tuple is compared with before it stays on its own. Only services that contradict each other in so many
/// ways meet this bound; without it, sources that mean harm could make composition quadratic.
const COMPARED_MAX: usize = 16;

/// What stands in the composition: one component, or several that became one.
#[derive(Clone, Debug)]
pub(crate) struct Merged {
    pub(crate) kind: Kind,
    pub(crate) nature: Vec<u8>,
    /// The id it would like.
    pub(crate) id: String,
    /// What it says, as far as that was needed; orders those of one nature that stayed apart.
    pub(crate) content: Vec<u8>,
    pub(crate) element: Element,
}

/// Merges what may be merged. The result depends on the components, not on their order.
pub(crate) fn merge(mut components: Vec<Component>) -> Vec<Merged> {
    components.sort_by(|one, two| (one.kind, &one.nature).cmp(&(two.kind, &two.nature)));
    let mut merged = Vec::with_capacity(components.len());
    let mut rest = components.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut alike = vec![first];
        while let Some(next) =
            rest.next_if(|next| (next.kind, &next.nature) == (alike[0].kind, &alike[0].nature))
        {
            alike.push(next);
        }
        if alike.len() == 1 {
            merged.extend(alike.into_iter().map(alone));
        } else if alike[0].kind == Kind::Tuple {
            merge_tuples(alike, &mut merged);
        } else {
            merged.extend(merge_all(alike));
        }
    }
    merged
}

fn alone(component: Component) -> Merged {
    Merged {
        kind: component.kind,
        nature: component.nature,
        id: component.id,
        content: Vec::new(),
        element: component.element,
    }
}

/// Tuples that agree so far.
struct Group {
    members: Vec<Component>,
    slots: Vec<Slot>,
}

/// Tuples of one nature: each joins the first group that it does not contradict. Two tuples of one source stay apart: a source that
/// lists a service twice, under two ids, means two. A permanent tuple gives way: where all that is published of its service contradicts
/// it, it is not shown.
fn merge_tuples(alike: Vec<Component>, merged: &mut Vec<Merged>) {
    let mut tuples: Vec<(Vec<u8>, Vec<Slot>, Component)> = alike
        .into_iter()
        .map(|tuple| {
            let slots = slots(&tuple);
            (content(&slots), slots, tuple)
        })
        .collect();
    // What they say decides who meets whom, not when they came: else a source that repeats itself would change the result.
    tuples.sort_by(|one, two| {
        let order = |of: &(Vec<u8>, Vec<Slot>, Component)| of.2.is_permanent;
        let by_rank = order(one).cmp(&order(two));
        by_rank.then_with(|| (&one.2.id, &one.0, one.2.age).cmp(&(&two.2.id, &two.0, two.2.age)))
    });
    let is_published = tuples.iter().any(|(_, _, tuple)| !tuple.is_permanent);
    let mut groups: Vec<Group> = Vec::new();
    for (_, slots, tuple) in tuples {
        let fits = |group: &Group| {
            group
                .members
                .iter()
                .all(|member| member.source != tuple.source)
                && !contradict(&group.slots, &slots)
        };
        match groups.iter().take(COMPARED_MAX).position(fits) {
            Some(at) => {
                let mut both = std::mem::take(&mut groups[at].slots);
                both.extend(slots);
                groups[at].slots = first_of_each(both);
                groups[at].members.push(tuple);
            }
            None if tuple.is_permanent && is_published => {}
            None => groups.push(Group {
                members: vec![tuple],
                slots,
            }),
        }
    }
    merged.extend(groups.into_iter().filter_map(|group| {
        let content = content(&group.slots);
        merge_all(group.members).map(|one| Merged { content, ..one })
    }));
}

/// Merges components element by element; where two say different things the newest wins. Notes of tuples are all kept, the newest
/// first, each once. The timestamp is the newest component's own: an older one would make its news look old.
fn merge_all(mut members: Vec<Component>) -> Option<Merged> {
    if members.len() == 1 {
        return members.pop().map(alone);
    }
    if members[0].kind != Kind::Tuple {
        members.sort_by_key(|member| std::cmp::Reverse(member.age));
    }
    // Tuples that merge agree, so there the order decides only how something is written: by what they say, not by when.
    let said = first_of_each(members.iter().flat_map(slots).collect());
    members.sort_by_key(|member| std::cmp::Reverse(member.age));
    let mut seen = BTreeSet::new();
    let of_tuple = members
        .iter()
        .filter(|member| member.kind == Kind::Tuple)
        .flat_map(|member| notes(&member.element));
    let notes = of_tuple
        .filter(|note| seen.insert(canonical(note)))
        .cloned()
        .collect();
    let newest = members.first()?;
    Some(Merged {
        kind: newest.kind,
        nature: newest.nature.clone(),
        // Not the newest's: that changes whenever one of them says something new.
        id: members.iter().map(|member| &member.id).min()?.clone(),
        content: Vec::new(),
        element: build(&newest.element, &said, notes, timestamp_of(&newest.element)),
    })
}

fn content(slots: &[Slot]) -> Vec<u8> {
    slots
        .iter()
        .flat_map(|slot| [slot.key.as_slice(), &slot.value])
        .collect::<Vec<_>>()
        .concat()
}

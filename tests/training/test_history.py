"""What a run recorded, as people read it: epochs counted from 1, and what the score means."""

from kinbits.training import History, epochs_text, validation_text

SCORES = [0.5, 0.9, 0.7]


def record(scored=True, **more):
    epochs = [{"loss": 3.0 - place} | ({"validation": score} if scored else {}) for place, score in enumerate(SCORES)]
    return History(epochs, **more).record()


def test_the_epoch_that_was_kept_is_counted_from_one_with_its_own_loss_and_score():
    found = record(best_epoch=1, stopped_early=True, validation={"rows": 1200, "relevance": "labels"})
    assert (found["best_epoch"], found["loss"], found["validation"]["map@all"]) == (2, 2.0, 0.9)
    assert epochs_text(found) == "best epoch 2 of 3, stopped early, loss 2.0000"
    assert validation_text(found) == "0.9000 (mAP of 1,200 held-out images among themselves, by labels)"


def test_neighbours_are_named_where_no_label_chose_the_epoch():
    found = record(best_epoch=1, validation={"rows": 20, "relevance": "neighbours"})
    assert (
        validation_text(found, "vectors")
        == "0.9000 (mAP of 20 held-out vectors among themselves, by their ten nearest)"
    )


def test_without_validation_there_is_no_best_epoch():
    found = record(scored=False, best_epoch=2)
    assert (epochs_text(found), validation_text(found)) == ("3, loss 1.0000", None)


def test_without_epochs_there_is_nothing_to_say():
    found = History(validation={"rows": 20, "relevance": "neighbours"}).record()
    assert (found["best_epoch"], epochs_text(found), validation_text(found)) == (None, None, None)

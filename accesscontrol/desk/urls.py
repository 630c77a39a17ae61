"""The addresses of the desk."""

from django.urls import path

from accesscontrol.desk import emergency, entry, gathering, issue, recurring, rejected, today, visit, waiting, who

app_name = "desk"
urlpatterns = [
    path("", today.today, name="today"),
    path("news/", today.news, name="news"),
    path("site/", entry.choose_site, name="choose_site"),
    path("tenant/", entry.choose_tenant, name="choose_tenant"),
    path("language/", entry.choose_language, name="choose_language"),
    path("visits/new/", issue.issue, name="issue"),
    path("visits/new/known/", issue.suggestions, name="suggestions"),
    path("visits/new/overlaps/", issue.overlaps, name="overlaps"),
    path("visits/new/group/", gathering.group, name="group"),
    path("visits/new/recurring/", recurring.recurring, name="recurring"),
    path("visits/<int:reservation_id>/", visit.page, name="visit"),
    path("visits/<int:reservation_id>/extend/", visit.extend, name="extend"),
    path("visits/<int:reservation_id>/move/", visit.move, name="move"),
    path("visits/<int:reservation_id>/end/", visit.end, name="end"),
    path("visits/<int:reservation_id>/check-in/", visit.check_in, name="check_in"),
    path("visits/<int:reservation_id>/check-out/", visit.check_out, name="check_out"),
    path("visits/<int:reservation_id>/resend/", visit.resend, name="resend"),
    path("visits/<int:reservation_id>/new-pin/", visit.reissue, name="reissue"),
    path("visits/<int:reservation_id>/pin/", visit.show_pin, name="show_pin"),
    path("visits/<int:reservation_id>/badge/", visit.badge, name="badge"),
    path("groups/<int:group_visit_id>/", gathering.party, name="party"),
    path("groups/<int:group_visit_id>/extend/", gathering.extend_party, name="extend_party"),
    path("groups/<int:group_visit_id>/move/", gathering.move_party, name="move_party"),
    path("groups/<int:group_visit_id>/end/", gathering.end_party, name="end_party"),
    path("not-let-in/<int:event_id>/let-in/", rejected.let_in, name="let_in"),
    path("not-let-in/<int:event_id>/start-now/", rejected.start_now, name="start_now"),
    path("not-let-in/<int:event_id>/add-door/", rejected.add_door, name="add_door"),
    path("doors/<int:channel_id>/lift/", waiting.lift, name="lift"),
    path("emergency/", emergency.emergency, name="emergency"),
    path("inside/", emergency.inside, name="inside"),
    path("people/", who.people, name="people"),
    path("people/<int:person_id>/", who.person, name="person"),
]
